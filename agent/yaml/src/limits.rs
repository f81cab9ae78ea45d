//! Bounds on what one file may cost.

/// Bounds on the cost of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file. The largest bundles of CRDs in use have under 4 MB.
    pub bytes: usize,
    /// Levels of nesting. CRD schemas reach 40; beyond 100 the stack is at risk.
    pub depth: usize,
    /// Values of one file with aliases expanded (billion laughs). Dense manifests have one
    /// for 40 bytes, so 4 MB has half of it.
    pub nodes: usize,
    /// Bytes of scalars of one file with aliases expanded: many aliases of one long text.
    pub text: usize,
    /// Documents of one file; at the shortest that is of use (80 bytes), 5,000 have 400 KB.
    pub documents: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 4 << 20, depth: 100, nodes: 200_000, text: 16 << 20, documents: 5_000 }
    }
}
