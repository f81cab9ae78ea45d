//! Git over HTTP(S): a thin protocol v2 client that asks for little.
