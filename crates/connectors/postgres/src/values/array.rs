//! Arrays: how many dimensions, where each begins, and the elements one after the other, each in its own form.
//!
//! Invariant: there are exactly as many elements as the dimensions say, and none without dimensions.

use super::ValueError;
use std::borrow::Cow;
use tidewater_core::change::Value;

/// The server's own limit.
const DIMENSIONS_MAX: usize = 6;

/// One dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Dimension {
    length: usize,
    /// The number of its first element; 1 where nobody said otherwise.
    lower: i32,
}

/// An array whose elements are bytes; `None` is NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape<'a> {
    dimensions: Vec<Dimension>,
    elements: Vec<Option<Cow<'a, [u8]>>>,
}

impl<'a> Shape<'a> {
    /// Whether all dimensions begin at 1, so that nested values say everything.
    pub(super) fn is_plain(&self) -> bool {
        self.dimensions.iter().all(|dimension| dimension.lower == 1)
    }

    /// Every element in another form.
    pub(super) fn map(
        &self,
        mut change: impl FnMut(&[u8]) -> Result<Vec<u8>, ValueError>,
    ) -> Result<Shape<'static>, ValueError> {
        let one = |element: &Option<Cow<'_, [u8]>>| element.as_deref().map(&mut change).transpose();
        let elements = self.elements.iter().map(one).map(|element| element.map(|bytes| bytes.map(Cow::Owned)));
        Ok(Shape { dimensions: self.dimensions.clone(), elements: elements.collect::<Result<_, _>>()? })
    }

    /// Reads the binary form: number of dimensions, whether there are NULLs, type of the elements, dimensions, elements.
    pub(super) fn from_binary(bytes: &'a [u8], element: u32) -> Option<Self> {
        let mut rest = bytes;
        let count = usize::try_from(take(&mut rest)?).ok().filter(|count| *count <= DIMENSIONS_MAX)?;
        let has_null = take(&mut rest)?;
        if !matches!(has_null, 0 | 1) || take(&mut rest)?.cast_unsigned() != element {
            return None;
        }
        let mut dimensions = Vec::new();
        for _ in 0..count {
            let length = usize::try_from(take(&mut rest)?).ok().filter(|length| *length > 0)?;
            dimensions.push(Dimension { length, lower: take(&mut rest)? });
        }
        let wanted = total(&dimensions)?;
        // Every element takes four bytes at least: a count beyond that is a lie.
        if wanted > rest.len() / 4 {
            return None;
        }
        let mut elements = Vec::new();
        for _ in 0..wanted {
            elements.push(match take(&mut rest)? {
                -1 => None,
                length => {
                    let (element, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                    rest = after;
                    Some(Cow::Borrowed(element))
                }
            });
        }
        rest.is_empty().then_some(Self { dimensions, elements })
    }

    /// Appends the binary form. Nothing where it is longer than the form can say.
    pub(super) fn to_binary(&self, element: u32, out: &mut Vec<u8>) -> Option<()> {
        let mut put = |number: i32| out.extend_from_slice(&number.to_be_bytes());
        put(i32::try_from(self.dimensions.len()).ok()?);
        put(self.elements.iter().any(Option::is_none).into());
        put(element.cast_signed());
        for dimension in &self.dimensions {
            put(i32::try_from(dimension.length).ok()?);
            put(dimension.lower);
        }
        for element in &self.elements {
            match element {
                None => out.extend_from_slice(&(-1i32).to_be_bytes()),
                Some(bytes) => {
                    out.extend_from_slice(&i32::try_from(bytes.len()).ok()?.to_be_bytes());
                    out.extend_from_slice(bytes);
                }
            }
        }
        Some(())
    }

    /// Reads the text form as the server writes it: `[2:3]={1,NULL}`, `{{"a b"},{c}}`.
    pub(super) fn from_text(text: &'a [u8]) -> Option<Self> {
        let mut rest = text;
        let lowers = lower_bounds(&mut rest)?;
        let mut reader = Reader { rest, lengths: Vec::new(), elements: Vec::new(), depth: None };
        reader.level(0)?;
        let Reader { rest, lengths, elements, .. } = reader;
        let is_empty = elements.is_empty();
        let dimensions: Vec<Dimension> = match &lowers {
            None if is_empty && lengths == [0] => Vec::new(),
            None => lengths.iter().map(|length| Dimension { length: *length, lower: 1 }).collect(),
            Some(bounds) => {
                let same = bounds.iter().map(|bound| bound.length).eq(lengths.iter().copied());
                same.then(|| bounds.clone())?
            }
        };
        let is_whole = rest.is_empty() && total(&dimensions)? == elements.len();
        is_whole.then_some(Self { dimensions, elements })
    }

    /// The text form as the server writes it.
    pub(super) fn to_text(&self) -> Vec<u8> {
        if self.dimensions.is_empty() {
            return b"{}".to_vec();
        }
        let mut out = Vec::new();
        if !self.is_plain() {
            for Dimension { length, lower } in &self.dimensions {
                let upper = i64::from(*lower) + *length as i64 - 1;
                out.extend_from_slice(format!("[{lower}:{upper}]").as_bytes());
            }
            out.push(b'=');
        }
        put_level(&self.dimensions, &mut self.elements.iter(), &mut out);
        out
    }

    /// Nested values: as many levels as dimensions.
    pub(super) fn into_value(
        self,
        mut decode: impl FnMut(&[u8]) -> Result<Value<'static>, ValueError>,
    ) -> Result<Value<'static>, ValueError> {
        let one = |element: &Option<Cow<'_, [u8]>>| element.as_deref().map_or(Ok(Value::Null), &mut decode);
        let mut values: Vec<Value<'static>> = self.elements.iter().map(one).collect::<Result<_, _>>()?;
        // From the innermost level outwards; the outermost is the array itself.
        for dimension in self.dimensions.iter().skip(1).rev() {
            let mut rest = values.into_iter();
            let mut nested = Vec::new();
            loop {
                let level: Vec<Value<'static>> = rest.by_ref().take(dimension.length).collect();
                if level.is_empty() {
                    break;
                }
                nested.push(Value::Array(level));
            }
            values = nested;
        }
        Ok(Value::Array(values))
    }

    /// The shape of nested values: all levels of one depth must be of one length.
    pub(super) fn of(
        values: &[Value<'_>],
        encode: impl Fn(&Value<'_>) -> Result<Vec<u8>, ValueError>,
    ) -> Result<Shape<'static>, ValueError> {
        let misfit = ValueError::Misfit("array");
        let mut dimensions = Vec::new();
        let mut level: Vec<&Value<'_>> = values.iter().collect();
        if level.is_empty() {
            return Ok(Shape { dimensions, elements: Vec::new() });
        }
        let mut length = level.len();
        loop {
            dimensions.push(Dimension { length, lower: 1 });
            let Some(Value::Array(first)) = level.first() else { break };
            length = first.len();
            if length == 0 || dimensions.len() == DIMENSIONS_MAX {
                return Err(misfit);
            }
            let mut next = Vec::new();
            for value in level {
                match value {
                    Value::Array(inner) if inner.len() == length => next.extend(inner),
                    _ => return Err(misfit),
                }
            }
            level = next;
        }
        let one = |value: &&Value<'_>| match value {
            Value::Null => Ok(None),
            Value::Array(_) => Err(misfit),
            value => encode(value).map(|bytes| Some(Cow::Owned(bytes))),
        };
        Ok(Shape { dimensions, elements: level.iter().map(one).collect::<Result<_, _>>()? })
    }
}

fn take(rest: &mut &[u8]) -> Option<i32> {
    let (front, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(i32::from_be_bytes(*front))
}

/// How many elements there are.
fn total(dimensions: &[Dimension]) -> Option<usize> {
    if dimensions.is_empty() {
        return Some(0);
    }
    dimensions.iter().try_fold(1usize, |total, dimension| total.checked_mul(dimension.length))
}

/// Reads `[2:3][1:2]=`: nothing where it is wrong, and nothing inside where it is not there.
fn lower_bounds(rest: &mut &[u8]) -> Option<Option<Vec<Dimension>>> {
    if !rest.starts_with(b"[") {
        return Some(None);
    }
    let end = rest.iter().position(|byte| *byte == b'=')?;
    let text = std::str::from_utf8(&rest[..end]).ok()?;
    *rest = &rest[end + 1..];
    let inside = text.strip_prefix('[')?.strip_suffix(']')?;
    let mut dimensions = Vec::new();
    for bounds in inside.split("][") {
        let (lower, upper) = bounds.split_once(':')?;
        let (lower, upper): (i32, i32) = (lower.parse().ok()?, upper.parse().ok()?);
        let length = usize::try_from(i64::from(upper) - i64::from(lower) + 1).ok().filter(|length| *length > 0)?;
        dimensions.push(Dimension { length, lower });
    }
    (dimensions.len() <= DIMENSIONS_MAX).then_some(Some(dimensions))
}

/// Goes through the text form.
struct Reader<'a> {
    rest: &'a [u8],
    /// By depth, as the first level of that depth has it.
    lengths: Vec<usize>,
    elements: Vec<Option<Cow<'a, [u8]>>>,
    /// How deep the elements lie.
    depth: Option<usize>,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    /// One level, from brace to brace.
    fn level(&mut self, depth: usize) -> Option<()> {
        if depth == DIMENSIONS_MAX || self.next()? != b'{' {
            return None;
        }
        if self.lengths.len() == depth {
            self.lengths.push(usize::MAX);
        }
        let mut count = 0;
        if self.rest.first() == Some(&b'}') {
            self.next();
        } else {
            loop {
                count += 1;
                if self.rest.first() == Some(&b'{') {
                    self.level(depth + 1)?;
                } else {
                    self.element(depth)?;
                }
                match self.next()? {
                    b',' => {}
                    b'}' => break,
                    _ => return None,
                }
            }
        }
        match self.lengths[depth] {
            usize::MAX => self.lengths[depth] = count,
            length if length == count => {}
            _ => return None,
        }
        // Only the whole array may be empty.
        if count == 0 && depth > 0 { None } else { Some(()) }
    }

    fn element(&mut self, depth: usize) -> Option<()> {
        if *self.depth.get_or_insert(depth) != depth {
            return None;
        }
        let mut element = Vec::new();
        if self.rest.first() == Some(&b'"') {
            self.next();
            loop {
                match self.next()? {
                    b'"' => break,
                    b'\\' => element.push(self.next()?),
                    byte => element.push(byte),
                }
            }
            self.elements.push(Some(Cow::Owned(element)));
            return Some(());
        }
        let end = self.rest.iter().position(|byte| b",}".contains(byte))?;
        let (word, rest) = self.rest.split_at(end);
        if word != b"NULL" && needs_quotes(word) {
            return None;
        }
        self.rest = rest;
        self.elements.push((word != b"NULL").then(|| Cow::Owned(word.to_vec())));
        Some(())
    }
}

fn needs_quotes(element: &[u8]) -> bool {
    let is_special = |byte: &u8| b"\"\\{}, \t\n\r\x0B\x0C".contains(byte);
    element.is_empty() || element.eq_ignore_ascii_case(b"NULL") || element.iter().any(is_special)
}

fn put_level<'e>(
    dimensions: &[Dimension],
    elements: &mut impl Iterator<Item = &'e Option<Cow<'e, [u8]>>>,
    out: &mut Vec<u8>,
) {
    let Some((dimension, inner)) = dimensions.split_first() else {
        match elements.next() {
            Some(Some(element)) if needs_quotes(element) => {
                out.push(b'"');
                for byte in element.iter() {
                    if b"\"\\".contains(byte) {
                        out.push(b'\\');
                    }
                    out.push(*byte);
                }
                out.push(b'"');
            }
            Some(Some(element)) => out.extend_from_slice(element),
            _ => out.extend_from_slice(b"NULL"),
        }
        return;
    };
    out.push(b'{');
    for at in 0..dimension.length {
        if at > 0 {
            out.push(b',');
        }
        put_level(inner, elements, out);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_are_read_and_written_the_same() {
        for text in [
            "{}",
            "{1,2,NULL}",
            "{\"NULL\",\"null\",\"\",\"a b\",\"a\\\"b\\\\c\",\"{}\",\"x,y\"}",
            "{{1,2},{3,4}}",
            "{{{1}},{{2}}}",
            "[0:1]={1,2}",
            "[-5:-4][2:2]={{1},{NULL}}",
        ] {
            let shape = Shape::from_text(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(String::from_utf8(shape.to_text()).unwrap(), text);
            let mut bytes = Vec::new();
            shape.to_binary(25, &mut bytes).unwrap();
            assert_eq!(Shape::from_binary(&bytes, 25).as_ref(), Some(&shape));
            assert_eq!(Shape::from_binary(&bytes, 23), None);
            for cut in 0..bytes.len() {
                assert_eq!(Shape::from_binary(&bytes[..cut], 25), None, "{text} {cut}");
            }
        }
        for wrong in [
            "",
            "{",
            "}",
            "{1",
            "{1}}",
            "{1,}",
            "{,}",
            "{{}}",
            "{{1},{2,3}}",
            "{1,{2}}",
            "{{1},2}",
            "{a b}",
            "{null}",
            "{\"a}",
            "{\"a\"b}",
            "[1:2]={1}",
            "[2:1]={}",
            "[1:1]={}",
            "[x:1]={1}",
            "[1]={1}",
            "{{{{{{{1}}}}}}}",
        ] {
            assert_eq!(Shape::from_text(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn lies_in_binary_are_refused() {
        let words = |words: &[i32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        for wrong in [
            &[7, 0, 25][..],
            &[-1, 0, 25],
            &[0, 2, 25],
            &[0, 0, 25, 0],
            &[1, 0, 25, i32::MAX, 1],
            &[1, 0, 25, 0, 1],
            &[1, 0, 25, 1, 1, -2],
            &[1, 0, 25, 1, 1, i32::MAX],
            &[2, 0, 25, i32::MAX, 1, i32::MAX, 1, -1],
        ] {
            assert_eq!(Shape::from_binary(&words(wrong), 25), None, "{wrong:?}");
        }
    }

    #[test]
    fn values_that_are_not_rectangular_are_refused() {
        let encode = |_: &Value<'_>| Ok(Vec::new());
        let array = Value::Array;
        let one = || Value::Bool(true);
        for wrong in [
            vec![array(vec![])],
            vec![array(vec![one()]), one()],
            vec![one(), array(vec![one()])],
            vec![array(vec![one()]), array(vec![one(), one()])],
            vec![array(vec![one()]), Value::Null],
        ] {
            assert!(Shape::of(&wrong, encode).is_err(), "{wrong:?}");
        }
        assert!(Shape::of(&[array(vec![one(), Value::Null])], encode).is_ok());
    }
}
