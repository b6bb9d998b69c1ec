"""What a comparison says, in sentences computed from its numbers: nothing is claimed that the spread does not bear
out."""
from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from ..core.sentence import many
from ..data.subset import told
from ..engine.pictures.verdict import CHANCE, Verdict, verdict

# name: (heading, what it is, how it is written); order is the order of the table's columns
MEASURES: dict[str, tuple[str, str, str]] = {
    "AP": ("AP", "box average precision, mean over IoU .50 to .95", "score"),
    "AP50": ("AP50", "box average precision at IoU .50", "score"),
    "AP75": ("AP75", "box average precision at IoU .75", "score"),
    "AP_small": ("AP small", "AP on objects under 32 x 32 pixels", "score"),
    "AP_medium": ("AP medium", "AP on objects from 32 x 32 to 96 x 96 pixels", "score"),
    "AP_large": ("AP large", "AP on objects above 96 x 96 pixels", "score"),
    "MR2": ("MR⁻²", "log-average miss rate over .01 to 1 false positives a picture, mean over classes; less is better",
            "score"),
    "MR2_reasonable": ("MR⁻² reasonable", "the same of people 50 pixels high or more of whom .65 can be seen", "score"),
    "MR2_small": ("MR⁻² small", "the same of those from 50 to 75 pixels high", "score"),
    "MR2_heavy": ("MR⁻² heavy", "the same of people of whom from .2 to .65 can be seen", "score"),
    "MR2_all": ("MR⁻² all", "the same of people 20 pixels high or more of whom .2 can be seen", "score"),
    "MR2_bare": ("MR⁻² bare", "the same of people 50 pixels high or more of whom .9 can be seen", "score"),
    "MR2_partial": ("MR⁻² partial", "the same of those of whom from .65 to .9 can be seen", "score"),
    "between": ("between objects", "boxes a picture that score above .5 and overlap two objects of their class by .2 "
                "to .5 each", "rate"),
    "count_error": ("|count error|", "mean absolute error of the number of objects in a picture, boxes scoring above "
                    ".5 counted", "rate"),
    "point_AP": ("point mAP", "average precision of the best point of each class in a picture, 18 pixels beside a "
                 "box allowed", "score"),
    "image_AP": ("image mAP", "average precision of saying which classes a picture holds", "score"),
    "AR100": ("AR@100", "average recall with a hundred boxes a picture, mean over IoU .50 to .95; of a detector each "
              "class has its own hundred", "score"),
    "AR10": ("AR@10", "average recall with ten boxes a picture", "score"),
    "AR1000": ("AR@1000", "average recall with a thousand proposals a picture, classes aside", "score"),
    "mask_AR10": ("mask AR@10", "average recall of masks with ten proposals a picture", "score"),
    "mask_AR100": ("mask AR@100", "average recall of masks with a hundred proposals a picture", "score"),
    "mask_AR1000": ("mask AR@1000", "average recall of masks with a thousand proposals a picture", "score"),
    "mask_AR100_none": ("mask AR@100 q=0", "AR@100 of whole masks of objects that nothing hides", "score"),
    "mask_AR100_partial": ("mask AR@100 q≤.25", "AR@100 of whole masks of objects hidden by up to a quarter", "score"),
    "mask_AR100_heavy": ("mask AR@100 q>.25", "AR@100 of whole masks of objects hidden by more than a quarter",
                         "score"),
    "mask_AR100_things": ("mask AR@100 things", "AR@100 of whole masks of things", "score"),
    "mask_AR100_stuff": ("mask AR@100 stuff", "AR@100 of whole masks of stuff", "score"),
    "order_invisible": ("order", "share of pairs of which the region that loses fewer of the common pixels is in front",
                        "score"),
    "mask_AP": ("mask AP", "mask average precision, mean over IoU .50 to .95", "score"),
    "mask_AP50": ("mask AP50", "mask average precision at IoU .50", "score"),
    "keypoint_AP": ("keypoint AP", "keypoint average precision by object keypoint similarity", "score"),
    "PQ": ("PQ", "panoptic quality: SQ x RQ, mean over classes", "score"),
    "SQ": ("SQ", "segmentation quality: mean IoU of matched segments", "score"),
    "RQ": ("RQ", "recognition quality: F1 of matched segments", "score"),
    "mIoU": ("mIoU", "mean over classes of intersection over union of pixels", "score"),
    "mIoU_stuff_foreground": ("mIoU stuff+fg",
                              "mean IoU over the stuff classes and all objects as one foreground class", "score"),
    "boundary_F": ("boundary F", "F of the edges of each class, those within .0075 of the picture's diagonal counting "
                   "as found", "score"),
    "pixel_accuracy": ("pixel acc.", "share of pixels given the right class", "score"),
    "parameters": ("parameters", "numbers that are trained", "count"),
    "flops": ("GFLOPs", "floating point operations of predicting one held-out picture (two a multiply-add), in "
              "thousand millions", "giga"),
    "images_per_second": ("train img/s", "training pictures a second of work, validation aside", "rate"),
    "latency_ms": ("latency ms", "median time of one picture through predict, batch 1, in the precision that it was "
                   "trained in, the making of boxes from outside included", "ms"),
    "outside_ms": ("boxes ms", "what of the latency the making of boxes from outside takes", "ms"),
    "peak_memory_mb": ("peak MB", "largest memory of the training process", "rate"),
}
MORE: dict[str, tuple[str, str, str]] = {  # shown in a fold
    "VOC_AP50": ("VOC mAP", "Pascal VOC's mean average precision at IoU .50, under the whole curve (2010 on)", "score"),
    "VOC_AP50_11": ("VOC mAP 11", "Pascal VOC's mean average precision at IoU .50, at eleven recalls (2007)", "score"),
    "AR1": ("AR@1", "average recall with one box a picture, mean over IoU .50 to .95", "score"),
    "AR100_small": ("AR@100 small", "AR@100 of objects under 32 x 32 pixels", "score"),
    "AR100_medium": ("AR@100 medium", "AR@100 of objects from 32 x 32 to 96 x 96 pixels", "score"),
    "AR100_large": ("AR@100 large", "AR@100 of objects above 96 x 96 pixels", "score"),
    "EER": ("EER", "value at which precision equals recall, at IoU .50", "score"),
    "best_f1": ("best F1", "highest F1 over all score thresholds, at IoU .50", "score"),
    "calibration": ("ECE", "expected calibration error: how far scores are from the frequency of being right", "score"),
    "count": ("count error", "mean absolute error of the number of objects in a picture, at the threshold of best F1",
              "rate"),
    "mask_AP75": ("mask AP75", "mask average precision at IoU .75", "score"),
    "keypoint_AP50": ("keypoint AP50", "keypoint average precision at similarity .50", "score"),
    "mean_accuracy": ("mean acc.", "mean over classes of the share of their pixels that is right", "score"),
    "mIoU_stuff": ("mIoU stuff", "mean IoU over the stuff classes", "score"),
    "foreground_IoU": ("fg IoU", "IoU of all objects as one foreground class", "score"),
    "trimap_mIoU_2": ("mIoU ≤2 px", "mIoU of the pixels within 2 of a true edge", "score"),
    "trimap_mIoU_5": ("mIoU ≤5 px", "mIoU of the pixels within 5 of a true edge", "score"),
    "trimap_mIoU_10": ("mIoU ≤10 px", "mIoU of the pixels within 10 of a true edge", "score"),
    "fwIoU": ("fw IoU", "IoU weighted by the classes' frequency", "score"),
    "predict_images_per_second": ("predict img/s", "pictures a second of evaluation, in batches of eight", "rate"),
}
SHORT = {
    "AP_small": "small", "AP_medium": "medium", "AP_large": "large", "parameters": "params",
    "images_per_second": "img/s", "latency_ms": "ms", "peak_memory_mb": "MB",
}
RIVALS = 3  # of which it is said what would tell
LEARNED = 0.05  # gain over an untrained net under which nothing is ranked
MAINS = ("AP", "PQ", "mIoU", "point_AP", "AR100", "mask_AP")
SECTIONS = {
    "AP": "Finding objects", "PQ": "Panoptic segmentation", "mIoU": "Labelling every pixel",
    "point_AP": "Localisation from image labels", "AR100": "Proposing objects",
    "mask_AP": "Whole objects, hidden parts too",
}
OBJECTS = ("AP", "point_AP", "AR100", "mask_AP")  # those whose truth is boxes
FOLDED = {"AP": ("point_AP", "AR10", "AR100")}  # shown in the fold of a section, and in the table of the others
KINDS = {  # of the measures of a section, where one table has no room for all
    "Boxes": ("AP50", "AP75", "AP_small", "AP_medium", "AP_large", "MR2", "MR2_reasonable", "MR2_small", "MR2_heavy",
              "MR2_all", "MR2_bare", "MR2_partial", "between", "count_error", "point_AP", "image_AP", "AR100", "AR10",
              "AR1000"),
    "Masks and keypoints": ("mask_AR10", "mask_AR100", "mask_AR1000", "mask_AP", "mask_AP50", "keypoint_AP"),
    "Hidden parts": ("mask_AR100_none", "mask_AR100_partial", "mask_AR100_heavy", "mask_AR100_things",
                     "mask_AR100_stuff", "order_invisible"),
    "Maps": ("PQ", "SQ", "RQ", "mIoU", "mIoU_stuff_foreground", "boundary_F", "pixel_accuracy"),
}
# a table of their own
COSTS = ("parameters", "flops", "images_per_second", "latency_ms", "outside_ms", "peak_memory_mb")
LESS = ("MR2", "MR2_reasonable", "MR2_small", "MR2_heavy", "MR2_all", "MR2_bare", "MR2_partial",
        "calibration")  # scores of which less is better
ERRORS = {
    "class": "right place, wrong class", "localisation": "right class, poor box", "both": "wrong class and poor box",
    "duplicate": "a second box on one object", "background": "a box on nothing", "missed": "an object not found",
}


def score(v: float | None, digits: int = 3) -> str:
    """.523; a dash for what is not there."""
    if v is None or v != v:
        return "–"
    text = f"{v:z.{digits}f}"  # no "-0"
    return text[1:] if text.startswith("0.") else text.replace("-0.", "−.").replace("-", "−")


def signed(v: float, digits: int = 3) -> str:
    """+.034 or −.034."""
    return ("+" if round(v, digits) >= 0 else "−") + score(abs(v), digits)


def written(measure: str, v: float | None) -> str:
    """A measure's value as the table shows it."""
    if v is None or v != v:
        return "–"
    kind = about(measure)[2]
    if kind == "score":
        return score(v)
    if kind == "count":
        return f"{v / 1e6:.2f} M" if v >= 1e5 else f"{v:,.0f}"
    if kind == "giga":
        return f"{v / 1e9:.3g}"
    return f"{v:,.0f}" if v >= 100 else f"{v:.3g}"


def varies(measure: str) -> bool:
    """Whether a measure can differ from seed to seed."""
    return about(measure)[2] not in ("count", "giga")


def heading(measure: str) -> str:
    """A column's heading, short: the sizes stand after AP, and units speak for themselves."""
    return SHORT.get(measure, about(measure)[0])


def about(measure: str) -> tuple[str, str, str]:
    """(heading, what it is, how it is written) of a measure."""
    return MEASURES.get(measure) or MORE[measure]


def with_spread(measure: str, s: dict[str, Any]) -> str:
    """`.523 ± .011`, or the mean alone where there was one seed."""
    spread = s.get("spread")
    if spread is None or not varies(measure):
        return written(measure, s.get("mean"))
    return f"{written(measure, s['mean'])} {spread_of(measure, s['mean'], spread)}"


def spread_of(measure: str, mean: float | None, spread: float) -> str:
    """`± .011`, to as many decimals as the mean is written with."""
    if about(measure)[2] == "score" or mean is None:
        return f"± {written(measure, spread)}"
    return f"± {spread:,.{len(written(measure, mean).partition('.')[2])}f}"


def mean_of(system: dict[str, Any], measure: str) -> float | None:
    """The mean over seeds of a measure, None where the system has none."""
    v = system["summary"].get(measure, {}).get("mean")
    return None if v is None or v != v else float(v)


def ranked(systems: Iterable[dict[str, Any]], measure: str) -> list[dict[str, Any]]:
    """Systems that have `measure`, best first."""
    have = [s for s in systems if mean_of(s, measure) is not None]
    return sorted(have, key=lambda s: -(mean_of(s, measure) or 0.0))


def overlap(a: dict[str, Any], b: dict[str, Any], measure: str) -> bool | None:
    """Whether the seeds' values of two systems interlock: the worse one's best reaches the better one's worst. None of
    single seeds."""
    va, vb = a["summary"][measure]["values"], b["summary"][measure]["values"]
    if len(va) < 2 or len(vb) < 2:
        return None
    low, high = sorted((va, vb), key=lambda v: sum(v) / len(v))
    return bool(max(low) >= min(high))


def budget(text: str) -> str:
    """"60s" as "60 s", "2000steps" as "2000 steps"."""
    return re.sub(r"(?<=\d)(?=[a-z])", " ", text)


def timed(results: dict[str, Any]) -> bool:
    """Whether the budget of a comparison is a time."""
    return bool(re.fullmatch(r"[\d.]+s", results.get("budget", "")))


def seconds(results: dict[str, Any]) -> str:
    """What its seconds are: "seconds of processor time", or "seconds" by the clock."""
    return "seconds of processor time" if results.get("clock") == "processor" else "seconds"


def length(results: dict[str, Any]) -> str:
    """The budget of a comparison: "175 s of processor time", "175 s" by the clock, "2000 steps"."""
    return budget(results["budget"]) + (seconds(results).removeprefix("seconds") if timed(results) else "")


def measured_on(data: dict[str, Any]) -> str:
    """On which split the numbers were measured, and on how many pictures: "200 of the 4,952 pictures of test"."""
    count = data.get("measured")
    return told(count, data.get("whole"), data.get("split")) if count else ""


def between(ends: Sequence[float], sign: bool = False) -> str:
    """An interval: ".481 to .561", or with signs "−.020 to +.093"."""
    low, high = ((signed if sign else score)(v) for v in ends)
    return f"{low} to {high}"


def lead(results: dict[str, Any], first: dict[str, Any], other: dict[str, Any], main: str) -> tuple[Verdict, str]:
    """The verdict on how far the first system is ahead of another, and the gap over pictures in words,
    "" where it is not known."""
    pair = first["id"], other["id"]
    found = next((g for g in results.get("leads", {}).get(main, []) if (g["first"], g["second"]) == pair), None)
    gap = found or {"gain": (mean_of(first, main) or 0.0) - (mean_of(other, main) or 0.0),
                    "overlap": overlap(first, other, main)}
    ends = gap.get("interval")
    return (verdict(gap), "" if ends is None else f"{between(ends, sign=True)} (95 %) over "
            f"{_pictures(results, gap['pictures'])}")


def _pictures(results: dict[str, Any], count: int) -> str:
    return many(count, f"{_split(results)}picture")


def _split(results: dict[str, Any]) -> str:
    split = results.get("data", {}).get("split")
    return f"{split} " if split else ""


def answer(results: dict[str, Any], main: str) -> tuple[str, list[str]]:
    """Which did best by `main`, as one sentence, and what goes with it, as a few more. ("", []) when none has it."""
    # a detector's AR@100, of each class its own, ranks with no proposals
    order = ranked([s for s in results["systems"] if s["main"] == main], main)
    if not order:
        return "", []
    best, label, seeds = order[0], MEASURES[main][0], len(order[0]["summary"][main]["values"])
    own = f"{label} {with_spread(main, best['summary'][main])}"
    if len(order) == 1:
        ends = best["summary"][main].get("interval")
        over = f" (95 % over {_pictures(results, results['data']['measured'])}: {between(ends)})" if ends else ""
        said = f" over {seeds} seeds" if seeds > 1 else " with one seed"
        return f"{best['title']} reached {own}{over}{said}.", _alone(best, main)
    second, verdicts = order[1], {s["id"]: lead(results, best, s, main) for s in order[1:]}
    rivals = [s for s in order[1:] if not verdicts[s["id"]][0].told_apart]
    known, over = verdicts[second["id"]]
    more = []
    if rivals:
        names, own = (_and([f"{s['title']} ({with_spread(main, s['summary'][main])})" for s in rivals]),
                      with_spread(main, best["summary"][main]))
        head = f"{best['title']} has the highest {label} ({own}), but {names} cannot be told from it: "
        head += _why([verdicts[s["id"]][0] for s in rivals], results, seeds)
        for s in rivals[:RIVALS]:
            v, gap = verdicts[s["id"]]
            far = f"The lead over {s['title']} is {signed(v.gap)}" + (f": {gap}" if gap else "")
            more.append(f"{far}. {v.would(_split(results).strip())}")
    elif seeds > 1:
        rival = f"{second['title']} ({with_spread(main, second['summary'][main])})"
        head = (f"{best['title']} did best: {own} over {seeds} seeds, {score(known.gap)} ahead of {rival}, and no seed "
                "of another overlaps")
        head += f"; the lead is {over}." if over else "."
    else:
        rival = f"{second['title']} ({score(mean_of(second, main))})"
        if known.gap < CHANCE:
            head = (f"{best['title']} is first with {own}, but only {score(known.gap)} ahead of {rival}: with one seed "
                    "that may be chance.")
        else:
            head = (f"{best['title']} did best: {own}, {score(known.gap)} ahead of {rival}. With one seed the spread "
                    "is unknown;")
        head = f"{head} {known.would()}"
        more += [f"The lead is {over}, for these trainings; others may do otherwise."] if over else []
    if (mean_of(best, main) or 0.0) - (best["summary"][main].get("untrained") or 0.0) < LEARNED:
        return f"None has learned much yet: this budget is too short to rank them. {head}", []
    return head, more + _because(best, second, main, results,
                                 known.told_apart) + _alone(best, main) + _others(order, main)


def _why(rivals: list[Verdict], results: dict[str, Any], seeds: int) -> str:
    """Why rivals cannot be told from the first: the end of a sentence."""
    count = max(v.count for v in rivals)
    said = [f"their {seeds} seeds overlap"] if any(v.seeds == "overlap" for v in rivals) else []
    said += [f"{_and(less)} had less work than the budget bought"] if (less := [v.starved for v in rivals if v.starved]
                                                                       ) else []
    if any(v.pictures == "few" for v in rivals):
        said.append(f"{_pictures(results, count)} {'is' if count == 1 else 'are'} too few")
    elif any(v.pictures == "level" for v in rivals):
        said.append(f"{_pictures(results, count)} are not enough")
    return (" and " if all(v.seeds == "overlap" and v.pictures != "apart" for v in rivals)
            else ", or ").join(said) + "."


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _because(
    best: dict[str, Any], second: dict[str, Any], main: str, results: dict[str, Any], ahead: bool
) -> list[str]:
    """Where the best one's lead over the second lies: pictures seen and, if it is `ahead` at all, sizes and kinds of
    error. What goes with it, not a proof."""
    out = []
    a, b = best.get("images_seen"), second.get("images_seen")
    cut = any(r.get("cut") for s in (best, second) for r in s.get("runs", []))
    if a and b and timed(results) and not cut:
        if a / b >= 1.15:
            out.append(f"In the same {length(results)} it saw {a:,.0f} training pictures, {a / b:.1f} times "
                       f"as many as {second['title']}.")
        elif b / a >= 1.15:
            counts = f"{a:,.0f} against {second['title']}'s {b:,.0f}"
            out.append(f"It saw fewer training pictures in the same {length(results)} ({counts}) and made "
                       "more of each.")
    if not ahead:
        return out
    if main == "AP":
        parts = [(m, mean_of(best, m), mean_of(second, m)) for m in ("AP_small", "AP_medium", "AP_large")]
        gaps = sorted(((x - y, m) for m, x, y in parts if x is not None and y is not None), reverse=True)
        if len(gaps) > 1 and gaps[0][0] > 0 and gaps[0][0] - gaps[-1][0] > 0.02:
            (most, where), (least, elsewhere) = gaps[0], gaps[-1]
            if least < 0:
                spots = (f"ahead on {where[3:]} objects ({signed(most)}) and behind on {elsewhere[3:]} ones "
                         f"({signed(least)})")
                out.append(f"Against {second['title']} it is {spots}.")
            else:
                spots = (f"largest on {where[3:]} objects ({signed(most)}) and smallest on {elsewhere[3:]} ones "
                         f"({signed(least)})")
                out.append(f"Its lead over {second['title']} is {spots}.")
        strict, loose = [(mean_of(best, m) or 0.0) - (mean_of(second, m) or 0.0) for m in ("AP75", "AP50")]
        if mean_of(best, "AP75") is not None and abs(strict - loose) > 0.03:
            what = ("places boxes more exactly" if strict > loose else "finds more objects rather than placing boxes "
                    "more exactly")
            out.append(f"It {what}: {signed(loose)} at IoU .50, {signed(strict)} at .75.")
    ea, eb = best.get("errors") or {}, second.get("errors") or {}
    shared = [k for k in ERRORS if ea.get(k) is not None and eb.get(k) is not None]
    if shared:
        k = max(shared, key=lambda k: eb[k] - ea[k])
        if eb[k] - ea[k] > max(0.01, 0.1 * eb[k]):
            cost = f"it costs {score(ea[k])} AP50, and {score(eb[k])} there"
            out.append(f"Against {second['title']}, the error it avoids most is {k} ({ERRORS[k]}): {cost}.")
    return out


def _alone(best: dict[str, Any], main: str) -> list[str]:
    rise = late_rise(best)
    if rise is not None and rise > 0.02:
        return [f"It was still rising at the end ({signed(rise)} {MEASURES[main][0]} in the last quarter): a longer "
                "budget would give more."]
    return []


def late_rise(system: dict[str, Any]) -> float | None:
    """What the last quarter of the budget added to the main measure, mean over seeds; None without a curve to tell."""
    rises = []
    for curve in system.get("curves", []):
        points = [(p["images"], p["value"]) for p in curve["points"] if p.get("value") is not None]
        early = [v for x, v in points if points and x <= 0.76 * points[-1][0]]
        if early:
            rises.append(points[-1][1] - early[-1])
    return sum(rises) / len(rises) if rises else None


def _others(order: list[dict[str, Any]], main: str) -> list[str]:
    """What the main measure does not show: another order by AP50, the cheapest system,
    the one that still rises most."""
    out = []
    best = order[0]
    if main == "AP" and (by50 := ranked(order, "AP50")) and by50[0]["id"] != best["id"]:
        out.append(f"By AP50 alone the order is another: {by50[0]['title']} leads with "
                   f"{score(mean_of(by50[0], 'AP50'))}.")
    timed = [s for s in order if mean_of(s, "latency_ms")]
    if len(timed) > 1:
        fast = min(timed, key=lambda s: mean_of(s, "latency_ms") or 0.0)
        if fast["id"] != best["id"]:
            lost = (mean_of(best, main) or 0.0) - (mean_of(fast, main) or 0.0)
            own = (f" against {written('latency_ms', mean_of(best, 'latency_ms'))} ms" if mean_of(best, "latency_ms")
                   else "")
            quick = written("latency_ms", mean_of(fast, "latency_ms"))
            out.append(f"The quickest to run is {fast['title']}: {quick} ms a picture{own}, for {score(lost)} less "
                       f"{MEASURES[main][0]}.")
        else:
            out.append(f"It is also the quickest to run: {written('latency_ms', mean_of(best, 'latency_ms'))} ms "
                       "a picture.")
    rising = [(r, s) for s in order[1:] if (r := late_rise(s)) is not None]
    if rising:
        r, s = max(rising, key=lambda x: x[0])
        if r > 0.02 and r > (late_rise(best) or 0.0) + 0.01:
            out.append(f"{s['title']} was rising faster at the end ({signed(r)} in the last quarter): with a longer "
                       "budget the order may change.")
    return out


def untrained_line(results: dict[str, Any]) -> str:
    """How far every system stands above its own untrained net, by its main measure."""
    margins = []
    for s in results["systems"]:
        x = s["summary"].get(s["main"], {})
        if x.get("mean") is not None and x.get("untrained") is not None:
            margins.append((x["mean"] - x["untrained"], s, x))
    if not margins:
        return ""
    least, s, x = min(margins, key=lambda m: m[0])
    figures = f"{s['title']}: {score(x['mean'])} against {score(x['untrained'])} {MEASURES[s['main']][0]}"
    if least <= 0.01:
        return f"Not every system learned: the narrowest margin over an untrained net is {signed(least)} ({figures})."
    return f"Every system stands above its own untrained net; the narrowest margin is {signed(least)} ({figures})."


def edge_verdict(edge: dict[str, Any]) -> str:
    """What a measured gain is worth, by its seeds and by the pictures."""
    if edge.get("gain") is None:
        return edge.get("note") or "no common measure"
    return verdict(edge).short()


__all__ = [
    "COSTS", "ERRORS", "FOLDED", "KINDS", "LESS", "MAINS", "MEASURES", "MORE", "OBJECTS", "SECTIONS", "about", "answer",
    "between", "budget", "edge_verdict", "heading", "lead", "length", "mean_of", "measured_on", "overlap", "ranked",
    "score", "seconds", "signed", "spread_of", "timed", "untrained_line", "varies", "with_spread", "written",
]
