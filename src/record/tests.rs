//! Properties of the whole library, and other people's batches.
