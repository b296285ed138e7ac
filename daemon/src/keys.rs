//! The ssh keys of one VM: its client key, its host keys, its known_hosts line.
