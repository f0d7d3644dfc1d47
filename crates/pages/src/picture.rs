//! A trace's picture, in SVG: classes and geometry only, so that a strict content security policy lets it pass.

use maud::{Markup, html};

use crate::graph::{Arrow, Card, Graph, LINE, Look, PAD};

const fn class(look: Look) -> &'static str {
    match look {
        Look::Plain => "box",
        Look::Main => "box main",
        Look::Past => "box past",
    }
}

/// Draws a box. Its text is in an `svg` of its own, which clips text that a font sets wider than assumed.
fn drawn_box(b: &Card) -> Markup {
    html! {
        g class=(class(b.look)) {
            rect x=(b.x) y=(b.y) width=(b.width) height=(b.height) rx="4" {}
            svg x=(b.x) y=(b.y) width=(b.width - PAD / 2) height=(b.height) {
                text class="caption" x=(PAD) y=(PAD + 9) { (b.caption) }
                @for (index, line) in b.lines.iter().enumerate() {
                    text class=(if index == 0 { "line name" } else { "line" }) x=(PAD) y=(PAD + 10 + LINE * (index + 1)) { (line) }
                }
            }
        }
    }
}

fn drawn_arrow(a: &Arrow) -> Markup {
    let tip = a.to - 1;
    html! {
        path class="arrow" d={ "M" (a.x) " " (a.from) "V" (a.to - 8) } {}
        path class="head" d={ "M" (a.x) " " (tip) "l-5 -9h10z" } {}
        text class="word" x=(a.x + 12) y=(usize::midpoint(a.from, a.to) + 3) { (a.word) }
    }
}

/// Draws the picture, named by `title` and described by `desc` for readers who cannot see it.
pub(crate) fn picture(graph: &Graph, title: &str, desc: &str) -> Markup {
    html! {
        svg class="trace" role="img" aria-labelledby="picture-title picture-desc"
            width=(graph.width) height=(graph.height) viewBox={ "0 0 " (graph.width) " " (graph.height) } {
            title id="picture-title" { (title) }
            desc id="picture-desc" { (desc) }
            @for arrow in &graph.arrows { (drawn_arrow(arrow)) }
            @for one in &graph.boxes { (drawn_box(one)) }
        }
    }
}
