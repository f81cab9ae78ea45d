//! Who we are, where the source is, whom to trust (contract §1).

mod model;

pub use model::{
    ApplyConfig, ClusterConfig, Config, ControlConfig, HttpConfig, LogConfig, LogFormat, Reference,
    ReportConfig, SourceConfig, StoreConfig, TlsFiles,
};
