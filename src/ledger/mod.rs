//! The durable, exactly-once memory of what has been counted.
