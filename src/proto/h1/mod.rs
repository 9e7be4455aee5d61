//! HTTP/1.1.

/// Limits and choices of the parser; each is an option of the C interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one line of a head or trailer section.
    pub line_max: u32,
    /// Bytes of a whole head, and of a whole trailer section.
    pub head_max: u32,
    /// Field lines of a head, and of a trailer section.
    pub fields_max: u32,
    /// Informational responses before the final one.
    pub informational_max: u32,
    /// Bytes of one chunk extension. All of them together may take a quarter of the body plus 64 KiB.
    pub chunk_ext_max: u32,
    /// Accept LF alone as the end of a line.
    pub allow_bare_lf: bool,
    /// Replace an obs-fold by spaces instead of refusing it.
    pub allow_obs_fold: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            line_max: 100 << 10,
            head_max: 300 << 10,
            fields_max: 5_000,
            informational_max: 16,
            chunk_ext_max: 16 << 10,
            allow_bare_lf: false,
            allow_obs_fold: false,
        }
    }
}
