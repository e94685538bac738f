//! Tables for people: columns of the width that they need, three spaces between.

/// Lays out a table with its heading.
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = heading.iter().map(|word| (*word).to_owned()).collect();
    lay_out(std::iter::once(&heading).chain(rows))
}

/// Lays out rows without a heading.
pub fn lay_out<'a>(rows: impl Iterator<Item = &'a Vec<String>> + Clone) -> String {
    let count = rows.clone().map(Vec::len).max().unwrap_or(0);
    let width =
        |column| rows.clone().filter_map(|row| row.get(column)).map(|cell: &String| length(cell)).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    rows.map(|row| line(row, &widths)).collect()
}

fn line(row: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (cell, width) in row.iter().zip(widths) {
        text.push_str(cell);
        text.extend(std::iter::repeat_n(' ', width - length(cell) + 3));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn length(cell: &str) -> usize {
    cell.chars().count()
}

/// The first `most` letters, with an ellipsis in place of the last when some are left out.
pub fn shorten(text: &str, most: usize) -> String {
    match length(text) > most {
        true => text.chars().take(most - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows =
            [vec!["web".to_owned(), "nginx".to_owned()], vec!["a-long-name".to_owned(), String::new()]];
        assert_eq!(
            table(&["NAME", "IMAGE"], &rows),
            "NAME          IMAGE\nweb           nginx\na-long-name\n"
        );
    }

    #[test]
    fn what_is_too_long_ends_in_an_ellipsis() {
        assert_eq!(shorten("abcdef", 6), "abcdef");
        assert_eq!(shorten("abcdefg", 6), "abcde…");
    }
}
