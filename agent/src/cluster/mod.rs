//! Kubernetes: discovery, server-side apply, watch, events.
