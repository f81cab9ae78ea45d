//! Wiring, tasks, signals, the watchdog, HTTP and the control socket.
