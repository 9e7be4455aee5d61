//! Compression of field sections (RFC 7541), for one direction of one connection each: [`Decoder`] and [`Encoder`].
//!
//! Nothing of HTTP is known here but which names are worth an entry ([`Index`]); what a section may hold is for whoever
//! reads it.

mod decode;
mod encode;
mod huffman;
mod section;
mod statics;
mod table;

pub use decode::Decoder;
pub use encode::{Encoder, Index};
pub use section::{Limits, Section};

/// SETTINGS_HEADER_TABLE_SIZE before anything is said about it (RFC 9113 section 6.5.2).
pub const TABLE_MAX: u32 = 4096;
/// What an entry of a table counts beside its bytes (section 4.1), and a field of a section (RFC 9113 section 6.5.2).
const ENTRY: u32 = 32;
