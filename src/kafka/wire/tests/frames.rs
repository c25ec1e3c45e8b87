//! Whole frames, their headers, and where record bytes lie.
