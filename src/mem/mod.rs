//! Memory that outlives the engine: pooled, refcounted blocks, typed objects inside them, and slices of them.
//!
//! The unsafe code of this room is confined to `block.rs`; the rest is safe code on top of it.

pub mod block;
pub mod body;
pub mod slab;

pub use block::{Block, Obj, Object, Pool};
pub use body::{Body, Credit, Slice};
pub use slab::{Key, Slab};
