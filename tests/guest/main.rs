//! Boots real Debian guests through the command line, as an ordinary user.

mod broken;
mod landlocked;
mod life;
mod parallel;
mod patched;
mod run;
mod shares;
mod unpacked;
mod ways;

use banger_tests::guest_image as image;
