//! Memory: pooled, refcounted blocks, typed objects inside them, and slices of them, which outlive the engine; and the
//! tables of an engine, whose pages go back to the system after a peak.
//!
//! The unsafe code of this room is confined to `block.rs` and `page.rs`; the rest is safe code on top of it.

pub mod block;
pub mod body;
pub mod page;
pub mod slab;
pub mod table;

pub use block::{Block, Obj, Object, Pool};
pub use body::{Body, Copied, Credit, Slice};
pub use slab::{Key, Slab};
pub use table::Table;
