//! The recipe of a Debian image: which packages, which settings, which command line.
