//! From a session as it came over the wire to the additions it makes: pure.
