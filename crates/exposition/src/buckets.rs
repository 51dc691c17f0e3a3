//! Bucket schemas: the bounds of histograms, shared by all series that have them.

/// Which bucket schema: its place in [`BucketSchemas`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketSchemaId(pub u16);

impl BucketSchemaId {
    /// No buckets: a counter.
    pub const NONE: Self = Self(0);
}

/// The bounds of one histogram's buckets.
#[derive(Clone, Debug, PartialEq)]
pub struct BucketSchema {
    /// A stable name, under which the bounds can be remembered.
    pub name: Box<str>,
    /// Upper bounds, ascending, finite; `+Inf` is implied.
    pub bounds: Box<[f64]>,
}

impl BucketSchema {
    /// A schema of these bounds.
    pub fn new(name: &str, bounds: &[f64]) -> Self {
        Self { name: name.into(), bounds: bounds.into() }
    }

    /// The bucket that `value` belongs to: the first whose bound is not below it (`le` is inclusive).
    pub fn bucket(&self, value: f64) -> u16 {
        u16::try_from(self.bounds.partition_point(|bound| *bound < value)).unwrap_or(u16::MAX)
    }

    /// How many counts a series with this schema has: its buckets, `+Inf`, and the sum.
    pub fn width(&self) -> usize {
        self.bounds.len() + 2
    }
}

/// All bucket schemas of an exporter. The first one is [`BucketSchemaId::NONE`], that of counters, and has no name.
#[derive(Clone, Debug, PartialEq)]
pub struct BucketSchemas(Box<[BucketSchema]>);

impl BucketSchemas {
    /// These schemas, with ids from 1 on.
    pub fn new(histograms: impl IntoIterator<Item = BucketSchema>) -> Self {
        Self(std::iter::once(BucketSchema::new("", &[])).chain(histograms).collect())
    }

    /// One schema; `None` for an id that is not among them.
    pub fn get(&self, id: BucketSchemaId) -> Option<&BucketSchema> {
        self.0.get(usize::from(id.0))
    }

    /// The schema called `name`.
    pub fn by_name(&self, name: &str) -> Option<BucketSchemaId> {
        self.0.iter().position(|schema| &*schema.name == name).and_then(|i| u16::try_from(i).ok()).map(BucketSchemaId)
    }

    /// All of them, with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (BucketSchemaId, &BucketSchema)> {
        self.0.iter().enumerate().map(|(i, schema)| (BucketSchemaId(u16::try_from(i).unwrap_or(u16::MAX)), schema))
    }

    /// How many counts a series with this schema has.
    pub fn width(&self, id: BucketSchemaId) -> usize {
        if id == BucketSchemaId::NONE { 1 } else { self.get(id).map_or(1, BucketSchema::width) }
    }
}
