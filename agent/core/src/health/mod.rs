//! Is it healthy? The kstatus rules and more, on plain JSON.
