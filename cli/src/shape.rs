//! What the text of a parameter's type says about the values that fit it.

/// The values of a type, as far as its name tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `String`, `&str`, `char`, …
    Text,
    /// `Vec<u8>`, `&[u8]`, `Bytes`, …
    Bytes,
    /// `bool`
    Bool,
    /// `u8` to `i128`
    Integer {
        /// Whether it may be below zero.
        signed: bool,
        /// How many bits it has.
        bits: u32,
    },
    /// `f32`, `f64`
    Float,
    /// `()`
    Unit,
    /// `Option<…>`
    Optional(Box<Shape>),
    /// `Vec<…>`, `[…]`, `HashSet<…>`, …
    List(Box<Shape>),
    /// `(…, …)`
    Tuple(Vec<Shape>),
    /// `HashMap<…, …>`, `BTreeMap<…, …>`
    Map(Box<Shape>, Box<Shape>),
    /// A type whose name says nothing here, such as one of the service's own.
    Unknown,
}

impl Shape {
    /// The shape of a type as it is written in Rust, with or without its path.
    pub(crate) fn of(text: &str) -> Shape {
        let mut reader = Reader { rest: text };
        match reader.shape() {
            Some(shape) if reader.rest.trim().is_empty() => shape,
            _ => Shape::Unknown,
        }
    }

    fn list(of: Shape) -> Shape {
        match of {
            Shape::Integer { signed: false, bits: 8 } => Shape::Bytes,
            of => Shape::List(Box::new(of)),
        }
    }

    /// The shape of a type of this name and these parameters.
    fn named(name: &str, mut parameters: Vec<Shape>) -> Shape {
        let mut parameter = || parameters.pop().unwrap_or(Shape::Unknown);
        match name {
            "String" | "str" | "char" | "CompactString" | "PathBuf" | "Path" => Shape::Text,
            "Bytes" | "ByteBuf" => Shape::Bytes,
            "bool" => Shape::Bool,
            "f32" | "f64" => Shape::Float,
            "isize" => Shape::Integer { signed: true, bits: 64 },
            "usize" => Shape::Integer { signed: false, bits: 64 },
            "Box" | "Rc" | "Arc" | "Cow" => parameter(),
            "Option" => Shape::Optional(Box::new(parameter())),
            "Vec" => Shape::list(parameter()),
            "VecDeque" | "LinkedList" | "HashSet" | "BTreeSet" | "IndexSet" => {
                Shape::List(Box::new(parameter()))
            }
            "HashMap" | "BTreeMap" | "IndexMap" => {
                let value = parameter();
                Shape::Map(Box::new(parameter()), Box::new(value))
            }
            _ => match (name.get(..1), name.get(1..).and_then(|bits| bits.parse().ok())) {
                (Some(sign @ ("i" | "u")), Some(bits @ (8 | 16 | 32 | 64 | 128))) => {
                    Shape::Integer { signed: sign == "i", bits }
                }
                _ => Shape::Unknown,
            },
        }
    }
}

/// Reads a type from the left. `None` is one that it cannot read.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn shape(&mut self) -> Option<Shape> {
        while self.takes("&") || self.lifetime() {}
        if self.takes("(") {
            return self.tuple();
        }
        if self.takes("[") {
            let of = self.shape()?;
            if self.takes(";") {
                let end = self.rest.find(']')?;
                self.rest = &self.rest[end..];
            }
            return self.takes("]").then(|| Shape::list(of));
        }
        let mut name = self.word()?;
        if name == "mut" {
            return self.shape();
        }
        while self.takes("::") {
            name = self.word()?;
        }
        let parameters = if self.takes("<") { self.until(">")?.0 } else { Vec::new() };
        Some(Shape::named(name, parameters))
    }

    fn tuple(&mut self) -> Option<Shape> {
        let (mut shapes, comma) = self.until(")")?;
        match (shapes.len(), comma) {
            (0, _) => Some(Shape::Unit),
            // `(T)` is T.
            (1, false) => shapes.pop(),
            _ => Some(Shape::Tuple(shapes)),
        }
    }

    /// Types up to the closing mark, and whether a comma stands before it.
    fn until(&mut self, close: &str) -> Option<(Vec<Shape>, bool)> {
        let mut shapes = Vec::new();
        let mut comma = false;
        while !self.takes(close) {
            if !shapes.is_empty() && !comma {
                return None;
            }
            if !self.lifetime() {
                shapes.push(self.shape()?);
            }
            comma = self.takes(",");
        }
        Some((shapes, comma))
    }

    fn lifetime(&mut self) -> bool {
        self.takes("'") && self.word().is_some()
    }

    fn word(&mut self) -> Option<&'a str> {
        let text = self.rest.trim_start();
        let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let (word, rest) = text.split_at(end.unwrap_or(text.len()));
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    fn takes(&mut self, mark: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(mark);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const I64: Shape = Shape::Integer { signed: true, bits: 64 };

    fn list(of: Shape) -> Shape {
        Shape::List(Box::new(of))
    }

    #[test]
    fn names_tell_what_fits() {
        for (text, shape) in [
            ("i64", I64),
            ("u8", Shape::Integer { signed: false, bits: 8 }),
            ("u128", Shape::Integer { signed: false, bits: 128 }),
            ("f32", Shape::Float),
            ("bool", Shape::Bool),
            ("String", Shape::Text),
            ("()", Shape::Unit),
            ("std::string::String", Shape::Text),
            ("Option<i64>", Shape::Optional(Box::new(I64))),
            ("Vec<Vec<i64>>", list(list(I64))),
            ("BTreeSet<String>", list(Shape::Text)),
            ("(i64, bool)", Shape::Tuple(vec![I64, Shape::Bool])),
            ("(i64,)", Shape::Tuple(vec![I64])),
            ("(i64)", I64),
            ("[f64; 3]", list(Shape::Float)),
            ("HashMap<String, i64>", Shape::Map(Box::new(Shape::Text), Box::new(I64))),
            ("Box<i64>", I64),
        ] {
            assert_eq!(Shape::of(text), shape, "{text}");
        }
    }

    #[test]
    fn lent_types_are_as_owned_ones() {
        for text in ["&str", "& 'a str", "&mut String", "Cow<'_, str>", "Arc<str>", "&'static str"]
        {
            assert_eq!(Shape::of(text), Shape::Text, "{text}");
        }
        assert_eq!(Shape::of("&[i64]"), list(I64));
    }

    #[test]
    fn bytes_are_bytes_and_no_list() {
        for text in ["Vec<u8>", "&[u8]", "[u8; 32]", "farcall::Bytes", "Vec < u8 >", "Box<[u8]>"] {
            assert_eq!(Shape::of(text), Shape::Bytes, "{text}");
        }
        assert_eq!(Shape::of("VecDeque<u8>"), list(Shape::Integer { signed: false, bits: 8 }));
    }

    #[test]
    fn what_the_name_does_not_tell_is_unknown() {
        for text in ["", "Report", "Page<u8>", "impl Stream<Item = u64>", "fn(i64)", "dyn Any", "<"]
        {
            assert_eq!(Shape::of(text), Shape::Unknown, "{text}");
        }
        assert_eq!(Shape::of("Vec<Report>"), list(Shape::Unknown));
    }
}
