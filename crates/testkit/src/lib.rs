//! Real servers, and faults on the way to them, for the tests of Bowline.
