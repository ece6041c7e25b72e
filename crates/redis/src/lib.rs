//! The Redis Streams bus of Bowline.
