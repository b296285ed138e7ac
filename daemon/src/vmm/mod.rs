//! The program that runs a guest: what it is told, how it is confined, how it ends.
