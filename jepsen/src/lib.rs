//! Checkers that turn a history into a verdict.
