"""Layouts that are known and not read: who has one is told which, and what to export in its place."""
from __future__ import annotations

import re
from pathlib import Path

from .images import walk
from .readers.pages import head

MEDICAL = "write its slices as PNG or TIFF, and its masks beside them"
COCO = "write its objects as COCO's JSON"
TABLE = "write a line a box, in pixels: filename,class,xmin,ymin,xmax,ymax"
UNPACK = "write the pictures as files, and their boxes as COCO's JSON or as the lists of metadata.jsonl"
CITYSCAPES = "make COCO's panoptic JSON of them with cityscapesscripts' createPanopticImgs.py"
WHOLE = ("for classes put the pictures into a folder a class, or write a train.txt with a path and a class a line; for "
         "objects write their boxes, as a CSV of filename,class,xmin,ymin,xmax,ymax")
# (what it is, how the path of one of its files ends, what must stand in the file's first bytes, what to do)
KNOWN = (
    ("DICOM", r"\.dcm", rb"", MEDICAL),
    ("NIfTI", r"\.nii(\.gz)?", rb"", MEDICAL),
    ("TensorFlow's records", r"\.(tf)?records?", rb"", "export COCO's JSON from what wrote them"),
    ("Ultralytics' NDJSON", r"\.ndjson", rb'"type"\s*:\s*"(dataset|image)"', "export the YOLO folder"),
    ("an NDJSON of a labelling tool", r"\.ndjson", rb"", "export COCO's JSON"),
    ("a JSON in UTF-16", r"\.json", rb"^(\xff\xfe|\xfe\xff)", "save it in UTF-8"),
    ("a map in NumPy's format", r"\.npy", rb"^\x93NUMPY", "write each map as a PNG of its numbers, of 8 or 16 bits"),
    ("V7's Darwin JSON", r"\.json", rb'darwin_json|darwin-public|"(slot_name|workview_url)"\s*:', "export COCO's JSON"),
    ("EuroCity Persons' JSON", r"\.json", rb'"identity"\s*:\s*"frame"', COCO),
    ("Mapillary's JSON of traffic signs", r"\.json", rb'"ispano"\s*:', COCO),
    ("DeepFashion2's JSON", r"\.json", rb'"item1"\s*:\s*\{', COCO),
    ("Visual Genome's objects", r"\.json", rb'"objects"\s*:\s*\[\s*\{[^{}]*"names"\s*:', COCO),
    ("a JSON of pictures by name (TT100K, TextOCR, COCO-Text)", r"\.json", rb'"imgs"\s*:\s*\{', COCO),
    ("a list of answers in COCO's format, not of truth", r"\.json", rb'^\s*\[\s*\{[^{}]*"image_id"[^{}]*"score"\s*:',
     "put the JSON of images, annotations and categories there"),
    ("HRSC2016's XML", r"\.xml", rb"<HRSC_Image>", COCO),
    ("KITTI's tracks", r"(^|/)label_02/\d+\.txt", rb"^\d+ -?\d+ [A-Za-z]\S* ", COCO),
    ("FiftyOne's own JSON", r"labels\.json", rb'^\s*\{\s*"(classes|labels)"', "export it as COCODetectionDataset or "
     "YOLOv5Dataset"),
    ("MOTChallenge's tables", r"(^|/)gt/gt\.txt", rb"", "write the boxes of its frames as COCO's JSON, or as a CSV of "
     "pictures and boxes"),
    ("a project of VIA 3", r"\.json", rb'"data_format_version"\s*:\s*"3|__VIA_PROJECT_ID__|"vid_list"',
     "export COCO's JSON"),
    ("VIA 3's table", r"\.csv", rb"CSV_HEADER = metadata_id", "export COCO's JSON"),
    ("a JSON of videos (YouTube-VIS)", r"\.json", rb'"videos"\s*:|"video_id"\s*:', "write COCO's JSON with an image a "
     "frame"),
    ("SA-1B's JSON", r"\.json", rb'"(stability_score|predicted_iou)"\s*:', "write its masks as COCO's JSON, all of one "
     "category"),
    ("Detectron2's list", r"\.json", rb'"bbox_mode"\s*:', "make COCO's JSON of it with "
     "detectron2.data.datasets.convert_to_coco_json"),
    ("FiftyOne's own export", r"(^|/)samples\.json", rb'"samples"\s*:', "export it as COCODetectionDataset or "
     "YOLOv5Dataset"),
    ("Sama's JSON", r"\.json", rb'"(vector_tagging|assignment_id)"\s*:', COCO),
    ("a labelling tool's own JSON", r"\.json", rb'"(label_hash|className|task_id|'
     rb'jsonResponse|datasetId|export_format_version)"\s*:', "export COCO's JSON from it, or write its objects so"),
    ("SageMaker's manifest", r"\.(manifest|jsonl)", rb'"source-ref"', COCO),
    ("Vertex AI's list of boxes", r"\.jsonl", rb'"imageGcsUri"\s*:', COCO),
    ("Vertex AI's table of boxes", r"\.csv", rb"(?i)^.{0,3}((training|train|validation|test|unassigned),)?gs://[^,\n]*,"
     rb"[^,\n]*,[\d.]+,[\d.]+,", TABLE),
    ("Azure ML's list of boxes", r"\.jsonl", rb'"(topX|image_details)"\s*:', COCO),
    ("Prodigy's list", r"\.jsonl", rb'"(spans|_input_hash)"\s*:', COCO),
    ("Turi Create's table", r"\.csv", rb'"coordinates""?\s*:|\'coordinates\'\s*:', "write a line a box: "
     "filename,class,xmin,ymin,xmax,ymax"),
    ("nuImages' tables", r"(^|/)object_ann\.json", rb'"sample_data_token"\s*:', COCO),
    ("WiderPerson's list of a picture's people", r"\.(jpe?g|png)\.txt", rb"^\s*\d+\s*\n([1-5]( -?\d+){4}\s*(\n|$))",
     "write a CSV with a line a box: filename,class,xmin,ymin,xmax,ymax"),
    ("MPII's points of people", r"\.json", rb'"joints(_vis)?"\s*:', "write them as COCO's keypoints"),
    ("a GeoJSON", r"\.geojson", rb"", "write its boxes in pixels as COCO's JSON, or as a CSV of pictures and boxes"),
    ("a MATLAB file", r"\.mat", rb"", "write what it holds as COCO's JSON, or as a PNG map of classes a picture"),
    ("Label Studio's table", r"\.(csv|tsv)", rb'"original_width"', "export JSON or JSON-MIN"),
    ("a table of run lengths", r"\.csv", rb"(?i)^[^\n]*,\s*encodedpixels", "write its masks as COCO's JSON, or as a "
     "PNG map a picture"),
    ("a table with several boxes in a cell", r"\.csv", rb"(?i)^[^\n]*,\s*predictionstring", "write a line a box: "
     "filename,class,xmin,ymin,xmax,ymax"),
    ("a table with several boxes in a cell", r"\.csv", rb"""\[\s*\{\s*['"]{1,2}x(min)?['"]{1,2}\s*:""", TABLE),
    ("a table of run lengths or outlines", r"\.csv", rb"(?m)^[^\n]*[,;]\"?\d+ \d+( \d+ \d+){2,}\"?\s*([,;]|$)",
     "write its masks as COCO's JSON, or as a PNG map a picture"),
    ("Labelbox's JSON", r"\.json", rb'"External ID"|"Labeled Data"|"data_row"\s*:', COCO),
    ("Scale's JSON (Nucleus)", r"\.jsonl?", rb'"reference_id"|"annotation_id"', COCO),
    ("a language model's JSONL", r"\.jsonl", rb'"(suffix|messages|conversations)"\s*:', "export COCO's JSON"),
    ("ICDAR's outlines of words", r"(^|/)gt_[^/]+\.txt", rb"^(\xef\xbb\xbf)?(\d+,){4}", "write them as polygons of "
     "COCO's"),
    ("keras-yolo3's list of boxes", r"\.txt", rb"(?m)^\S.*\.(jpe?g|png)( [\d.]+(,[\d.]+){4})+\r?$", "write a CSV with "
     "a line a box: path,x1,y1,x2,y2,class"),
    ("MOTS' run lengths", r"(^|/)instances_txt/\d+\.txt", rb"", "make COCO's JSON of them: a line is frame, object, "
     "class, height, width and COCO's run lengths"),
    ("MOTS' maps", r"(^|/)instances/\d{4}/\d{6}\.png", rb"", "make COCO's JSON of them: a value is a thousand times "
     "the class, and the object's number"),
    ("Mapillary Vistas' list of classes", r"(^|/)config(_v[\d.]+)?\.json", rb'"readable"', "name one split with "
     "--format panoptic --labels v2.0/panoptic/panoptic_2020.json --images images"),
    ("the whole of ADE20K", r"ADE_(train|val|frame)_\w+(_atr\.txt|\.json)", rb"", "take ADEChallengeData2016, which "
     "has a map of classes for each picture, or make COCO's panoptic JSON of it"),
    ("Hugging Face's list of pictures, without boxes", r"(^|/)metadata\.(jsonl|csv)", rb'file_name"?\s*[:,]', "write "
     "boxes into a column objects; for classes of whole pictures put them into a folder a class, for masks write the "
     "maps into masks/ beside images/"),
    ("Hugging Face's Parquet, with the pictures in it", r"\.parquet", rb"^PAR1", UNPACK),
    ("Hugging Face's Arrow, with the pictures in it", r"(^|/)data-\d+-of-\d+\.arrow", rb"", UNPACK),
    ("OpenImages' table of masks", r"\.csv", rb"MaskPath,ImageID", "put the table of boxes beside it, or make "
     "COCO's JSON of both"),
    ("a table of the classes of whole pictures", r"(^|/)_classes\.csv", rb"(?i)^.{0,3}filename\s*,", "export the data "
     "with boxes or masks; for labels of whole pictures put them into a folder a class"),
    ("a table of classes or captions of whole pictures", r"\.(csv|tsv|txt)", rb"(?i)^\W{0,4}(image|img|file|path|"
     rb"picture|photo|id)\w*\W{0,2}[,;\t|]\W{0,2}(label|class|categor|caption|tag|text|comment)[\w ]*\W*?\n", WHOLE),
    ("a list of classes or captions of whole pictures", r"\.jsonl?", rb'(?i)"(image|img|file|path)\w*"\s*:\s*"[^"]*"'
     rb'\s*,\s*"(label|class|categor|caption|tag|text)\w*"\s*:\s*\[?\s*["\d]', WHOLE),
    ("Cityscapes' polygons", r"_gt(Fine|Coarse)_polygons\.json", rb"", CITYSCAPES),
    ("a map of Cityscapes", r"_gt(Fine|Coarse)_labelIds\.png", rb"", CITYSCAPES),
    ("VoTT's JSON", r"\.(json|vott)", rb'"videoSettings"|"assets"\s*:|"asset"\s*:', "export it as Pascal VOC or CSV"),
    ("a table of pictures and numbers whose columns no known words name", r"\.(txt|csv|tsv)", rb"(?mi)^[^\n;,\t ]*\."
     rb"(jpe?g|png|ppm|bmp|tiff?|webp)\b[^\n]*?([;,\t ]-?\d+(\.\d+)?){4}", TABLE),
    ("a spreadsheet", r"\.(xlsx?|ods)", rb"", "save it as CSV, a line a box: filename,class,xmin,ymin,xmax,ymax"),
)
_ENDS = (".dcm", ".nii", ".gz", ".tfrecord", ".tfrecords", ".record", ".records", ".ndjson", ".json", ".vott", ".txt",
         ".csv", ".tsv", ".jsonl", ".parquet", ".arrow", ".manifest", ".png", ".geojson", ".mat", ".xml", ".npy",
         ".xlsx", ".xls", ".ods")
FEW = 200  # files that are looked into
HEAD = 1 << 14


def stranger(where: Path) -> tuple[str, str] | None:
    """(what a folder holds that is known and not read, what to do); None where nothing is known."""
    names = walk(where, _ENDS)
    for what, ends, begins, mend in KNOWN:
        found = [n for n in names if re.search(f"(?:{ends})$", n, re.I)]
        hit = next((n for n in found[:FEW] if not begins or re.search(begins, head(where / n, HEAD))), None)
        if hit is not None:
            return f"{hit} is {what}, which is not read", mend
    return None


__all__ = ["KNOWN", "stranger"]
