//! What goes into a guest's root filesystem before it boots, and how it is waited for.
