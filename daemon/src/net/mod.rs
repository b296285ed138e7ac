//! How a guest reaches the world and is reached: addresses, ports, user-mode backends.
