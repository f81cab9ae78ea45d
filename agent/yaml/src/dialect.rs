//! Who reads a scalar, and the values that one can have.

/// Who reads the file. Kubernetes' tools do not agree about scalars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The reader of `kubectl apply -f` (`sigs.k8s.io/yaml`): YAML 1.1 booleans
    /// (`yes`, `on`, `y`) and octals, no sexagesimals, timestamps are text.
    Kubernetes,
    /// Kustomize's reader of resources: only `true` and `false` are booleans;
    /// numbers are read as by [`Dialect::Kubernetes`]. Keys stay as they are written.
    Kustomize,
}

/// The value of a scalar.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolved {
    Null,
    Bool(bool),
    Integer(i64),
    /// Above `i64::MAX`.
    Unsigned(u64),
    /// May be infinite or not a number, which JSON cannot hold.
    Float(f64),
    /// The text as it stands.
    Text,
    /// The text that `!!binary` encodes.
    Decoded(String),
}
