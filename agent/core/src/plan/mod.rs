//! Desired × inventory × live → ordered steps.
