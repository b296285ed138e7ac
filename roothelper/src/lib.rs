//! The minimal root helper: names and policy, the parts that decide.
