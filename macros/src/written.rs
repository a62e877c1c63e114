//! Types in words, spaced as people write them.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;

/// The source of a type: `HashMap<String, Vec<u8>>`, where the tokens' own text would be
/// `HashMap < String , Vec < u8 > >`.
pub(crate) fn written(tokens: impl ToTokens) -> String {
    let mut text = Text::default();
    text.tokens(tokens.to_token_stream());
    text.out
}

/// What was written last, which decides whether a space comes next.
#[derive(Default, PartialEq)]
enum Last {
    #[default]
    Mark,
    Tick,
    Lifetime,
    Word,
}

#[derive(Default)]
struct Text {
    out: String,
    last: Last,
}

impl Text {
    fn tokens(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Group(group) => {
                    // `&'a [T]` and `&mut (A, B)`, but `fn(A)`.
                    if self.last == Last::Lifetime || self.out.ends_with("mut") {
                        self.out.push(' ');
                    }
                    let (open, close) = match group.delimiter() {
                        Delimiter::Parenthesis => ("(", ")"),
                        Delimiter::Bracket => ("[", "]"),
                        Delimiter::Brace => ("{ ", " }"),
                        // What a `macro_rules!` variable leaves around a type.
                        Delimiter::None => {
                            self.tokens(group.stream());
                            continue;
                        }
                    };
                    self.mark(open);
                    self.tokens(group.stream());
                    self.mark(close);
                }
                TokenTree::Punct(punct) => match punct.as_char() {
                    // `(T,)`
                    ',' if tokens.peek().is_none() => self.mark(","),
                    ',' => self.mark(", "),
                    ';' => self.mark("; "),
                    '+' => self.mark(" + "),
                    '=' => self.mark(" = "),
                    '-' if punct.spacing() == Spacing::Joint => {
                        tokens.next();
                        self.mark(" -> ");
                    }
                    ':' if punct.spacing() == Spacing::Joint => {
                        tokens.next();
                        self.mark("::");
                    }
                    ':' => self.mark(": "),
                    '\'' => {
                        self.mark("'");
                        self.last = Last::Tick;
                    }
                    other => self.mark(other.encode_utf8(&mut [0; 4])),
                },
                TokenTree::Ident(ident) => self.word(&ident.to_string()),
                TokenTree::Literal(literal) => self.word(&literal.to_string()),
            }
        }
    }

    fn mark(&mut self, mark: &str) {
        self.out.push_str(mark);
        self.last = Last::Mark;
    }

    fn word(&mut self, word: &str) {
        if matches!(self.last, Last::Word | Last::Lifetime) {
            self.out.push(' ');
        }
        self.out.push_str(word);
        self.last = if self.last == Last::Tick { Last::Lifetime } else { Last::Word };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_read_as_they_were_written() {
        for source in [
            "i64",
            "()",
            "Vec<u8>",
            "&str",
            "&mut T",
            "&'a T",
            "&'static [u16]",
            "&[u8]",
            "&mut [u8]",
            "&mut (A, B)",
            "[u8; 16]",
            "[u8; { N + 1 }]",
            "(i64, String)",
            "(i64,)",
            "std::collections::HashMap<String, Vec<Option<u8>>>",
            "Result<f64, CalcError>",
            "Box<dyn Fn(&str) -> bool + Send>",
            "Cow<'static, str>",
            "<'a, T: Clone + 'a>",
            "<T as Trait<Item = u8>>::Out",
        ] {
            let tokens: TokenStream = source.parse().expect("the source is of tokens");
            assert_eq!(written(tokens), source);
        }
    }
}
