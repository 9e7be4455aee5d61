//! A field section as it comes out of the compression, within limits.

use super::ENTRY;
use crate::proto::{Fault, Field, Fields};

/// How much of a section is of use to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of one field, name and value.
    pub line_max: u32,
    /// Bytes of the section, as RFC 9113 section 6.5.2 counts them.
    pub head_max: u32,
    pub fields_max: u32,
    /// Bytes of the section, counted alike, behind which decoding ends: a few bytes of a block can say a lot.
    pub size_max: u64,
}

/// The fields in their order, pseudo-fields among them, as [`Fields`] wants them. Used again from section to section.
#[derive(Debug, Default)]
pub struct Section {
    pub bytes: Vec<u8>,
    pub table: Vec<Field>,
    size: u64,
    over: Option<Fault>,
}

/// Room that is kept from section to section.
const ROOM_MAX: usize = 16 << 10;

impl Section {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(ROOM_MAX);
        self.table.clear();
        self.table.shrink_to(ROOM_MAX / size_of::<Field>());
        self.size = 0;
        self.over = None;
    }

    pub fn fields(&self) -> Fields<'_> {
        Fields { bytes: &self.bytes, table: &self.table }
    }

    /// Bytes as RFC 9113 section 6.5.2 counts them, also of what was not stored.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The first limit that was broken. From there on nothing is stored, but decoding goes on, so that the table of the
    /// compression is in step.
    pub fn over(&self) -> Option<Fault> {
        self.over
    }

    /// A field that is not stored: so many bytes.
    pub(super) fn skip(&mut self, len: usize) {
        self.size += len as u64 + u64::from(ENTRY);
    }

    /// A field stands behind `name_at` in `bytes`: it belongs to the section, if that is still within its limits.
    pub(super) fn add(&mut self, name_at: usize, value_at: usize, limits: &Limits) {
        let len = (self.bytes.len() - name_at) as u64;
        self.size += len + u64::from(ENTRY);
        if self.over.is_none() {
            self.over = if len > u64::from(limits.line_max) {
                Some(Fault::LineTooLong)
            } else if self.size > u64::from(limits.head_max) {
                Some(Fault::HeadTooLarge)
            } else if self.table.len() >= limits.fields_max as usize {
                Some(Fault::TooManyFields)
            } else {
                None
            };
        }
        if self.over.is_some() {
            self.bytes.truncate(name_at);
            return;
        }
        self.table.push(Field {
            name: name_at as u32,
            name_len: (value_at - name_at) as u32,
            value: value_at as u32,
            value_len: (self.bytes.len() - value_at) as u32,
        });
    }
}
