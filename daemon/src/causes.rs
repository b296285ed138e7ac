//! An error with what caused it.

use std::error::Error;
use std::iter::successors;

/// The error and its causes, outermost first.
pub(crate) fn chain(error: &dyn Error) -> Vec<String> {
    let causes = successors(error.source(), |&error| error.source()).map(ToString::to_string);
    std::iter::once(error.to_string()).chain(causes).collect()
}

/// The same in one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    chain(error).join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outside")]
    struct Outside(#[source] std::io::Error);

    #[test]
    fn the_outermost_comes_first_and_all_are_there() {
        let error = Outside(std::io::Error::other("inside"));
        assert_eq!(chain(&error), ["outside", "inside"]);
        assert_eq!(with_causes(&error), "outside: inside");
        assert_eq!(chain(&std::io::Error::other("alone")), ["alone"]);
    }
}
