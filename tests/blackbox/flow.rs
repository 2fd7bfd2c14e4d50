//! Flow from outside.
