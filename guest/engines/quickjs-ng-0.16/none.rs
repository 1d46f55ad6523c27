//! Empty: only the lock file beside this matters.
