"""The catalogue of the sample shop: what a rental desk for gas and water instruments has on its shelves.

Belongs here: item names, and which product line of which field they belong to. Does not belong here: who orders what,
or how often; that is `reco.orders.sample_orders`.

A product line is one instrument model with everything that fits it, so its items are what is bought together. Names are
a function of their position alone: no seed, and no end to the product lines.
"""

from dataclasses import dataclass

PID = "PID"
WATER_LEVEL_METER = "Water Level Meter"
CAL_KIT = "Cal Kit - Std - 34L Regulator 100PPM/Tedlar Bag"

LINE_SIZE = 24
"""Items of one product line."""

GAS, WATER, SITE = "gas", "water", "site"


@dataclass(frozen=True)
class Kind:
    """A kind of instrument: `parts` is what fits a model of it, dearest to the customers first."""

    field: str
    prefix: str
    instrument: str
    parts: tuple[str, ...]


def _sizes(template: str, *sizes: str) -> tuple[str, ...]:
    """One name a size; the template holds `{}` where the size goes."""
    return tuple(template.format(size) for size in sizes)


_FITS_ALL = (
    "Battery Pack, Li-Ion 14.8 V",
    "Alkaline Battery Adapter, 4 x AA",
    "Desktop Charger 100/240 V",
    "Vehicle Charger 12 V",
    "Carrying Case, Hard",
    "Carrying Case, Soft w/ Shoulder Strap",
    "Protective Rubber Boot",
    "Belt Clip, Stainless",
    "Data Cable, USB-C",
    "Bluetooth® Adapter",
    "Quick Start Card (English/Français)",
    "Service Kit, O-Rings & Screws",
    "Display Film (5/pk)",
    'Tripod Mount, 1/4"-20',
    *_sizes("Extension Cable, {} m", "2", "5", "10", "25"),
)

_CYLINDERS = _sizes("Cal Gas Cylinder, {}", "34L", "58L", "103L", "116L")
_HOSES = _sizes("Sample Hose, Tygon, {}", "1/8\" ID x 10'", "3/16\" ID x 10'", "1/4\" ID x 25'", "Ø 6 mm x 5 m")
_TUBING = _sizes(
    "Tubing, {}",
    "Silicone, 3/8\" ID x 50'",
    "LDPE, 1/4\" OD x 100'",
    "LDPE, 3/8\" OD x 100'",
    "PTFE-Lined, Ø 10 mm",
    'Twin Bonded, 1/4" x 3/8", 500\'',
)
_BUFFERS = _sizes(
    "Standard Solution, {}", "pH 4.01", "pH 7.00", "pH 10.01", "1413 µS/cm", "12.88 mS/cm", "0 NTU", "100 NTU"
)

KINDS = (
    Kind(SITE, "SS", "Site Supplies Starter Pack", (
        *_sizes("Nitrile Gloves, 5 mil, Size {}", "S", "M", "L", "XL"), "Isopropyl Alcohol Wipes 70% (100/pk)",
        'Field Notebook, "Rite-Dry"', "Safety Glasses, Clear", "Ear Plugs, 33 dB (200 pr)",
        *_sizes("Sample Jar, Amber, {} (12/case)", "40 mL", "250 mL", "1 L"), "Chain-of-Custody Seals (50/pk)",
        *_sizes("Coverall, White, Size {}", "M", "L", "XL", "3XL"), "Hi-Vis Vest, Class 2", "Hard Hat, Vented",
        *_sizes("Half-Mask Respirator, {}", "Small", "Medium", "Large"), *_sizes("Traffic Cone, {}", '18"', '36"'),
    )),
    Kind(GAS, "PD", "Photoionization Detector", (
        *_sizes("Lamp, {} eV", "10.6", "9.8", "11.7"), "Isobutylene 100 PPM, 34L", *_CYLINDERS, *_HOSES,
        "Moisture Filter (10/pk)", "Demand-Flow Regulator", "Tedlar Bag, 1 L (10/pk)", 'Sample Probe, 12"',
    )),
    Kind(WATER, "PP", "Peristaltic Pump", (
        *_TUBING, "Pump Head Tubing, Norprene", "Flow Cell, 250 mL", "Tubing Weight, 316 SS",
        "Battery Leads, Alligator",
    )),
    Kind(GAS, "MG", "4-Gas Monitor, O2/LEL/CO/H2S", (
        *_sizes("Sensor, {}", "O2 0-30% Vol", "LEL 0-100%", "CO 0-500 PPM", "H2S 0-100 PPM", "CO2 0-5%"),
        "Quad Mix 50% LEL/18% O2", *_CYLINDERS, *_HOSES, "Bump Test Station", "Confined Space Kit",
    )),
    Kind(WATER, "WQ", "Water Quality Sonde", (
        *_sizes("Probe, {}", "pH/ORP", "Conductivity", "Dissolved Oxygen, Optical", "Turbidity 0-4000 NTU"),
        *_BUFFERS, "Flow-Through Cell", "Storage Cup", "Membrane Cap (2/pk)",
    )),
    Kind(GAS, "LF", "Landfill Gas Analyzer, CH4/CO2/O2", (
        "Gas Mix 50% CH4/35% CO2", "Water Trap (5/pk)", *_CYLINDERS, *_HOSES, "Temperature Probe, -10…75 °C",
        "Wellhead Port Fitting",
    )),
    Kind(WATER, "SP", "Submersible Pump", (
        *_TUBING, "Control Box, 115 V", "Motor Lead 150'", "Impeller Kit", 'Well Seal, Ø 2"', 'Check Valve, 3/4"',
        "Safety Cable, 200'",
    )),
    Kind(SITE, "DM", "Dust Monitor, PM2.5/PM10", (
        *_sizes("Impactor, {} µm", "1.0", "2.5", "4.0", "10"), "Zero Filter", "Filter Cassette, 37 mm (50/pk)",
        "Environmental Enclosure", "Inlet, Omni-Directional", *_sizes("Cyclone, {}", "Nylon", "Aluminum"),
    )),
    Kind(WATER, "IP", "Oil/Water Interface Probe", (
        *_sizes("Tape Assembly, {}", "100'", "200'", "300'", "30 m", "60 m"), "Tape Guide", "Decon Brush",
        'Probe Tip, Ø 5/8"', "Grounding Clamp",
    )),
    Kind(GAS, "TX", "Single-Gas Detector", (
        *_sizes("Sensor, {}", "NH3 0-100 PPM", "Cl2 0-10 PPM", "SO2 0-20 PPM", "HCN 0-50 PPM", "NO2 0-20 PPM"),
        *_CYLINDERS, "Calibration Cup", "Lanyard, Breakaway", "Alarm Horn, 95 dB",
    )),
    Kind(WATER, "BP", "Bladder Pump", (
        *_TUBING, *_sizes("Bladder, {}", "PTFE", "LDPE (12/pk)"), "Pump Controller", "CO2 Regulator",
        'Intake Screen, 0.010"', "Drop Tube Assembly", "Air Compressor, 12 V",
    )),
    Kind(GAS, "AS", "Air Sampling Pump, 5-5000 mL/min", (
        *_sizes("Sorbent Tube, {} (20/pk)", "Charcoal", "Silica Gel", "XAD-2", "Tenax"), "Flow Calibrator",
        "Low-Flow Adapter", "Tubing w/ Collar Clip, 3'",
        "Filter Cassette, MCE 0.8 µm (50/pk)", "Tedlar Bag, 5 L (10/pk)",
    )),
    Kind(SITE, "SL", "Sound Level Meter, Class 1", (
        "Acoustic Calibrator, 94/114 dB", "Windscreen, Ø 90 mm", 'Microphone, 1/2"', "Outdoor Kit",
        "Vibration Sensor, Tri-Axial",
    )),
    Kind(WATER, "DL", "Level Logger, Vented", (
        *_sizes("Range {}", "5 m", "10 m", "30 m", "100 m"), *_sizes("Vented Cable, {}", "25'", "50'", "100'"),
        "Desiccant (3/pk)", "Barometric Logger", 'Well Cap, Ø 4"', "Optical Reader",
    )),
    Kind(SITE, "XR", "Handheld XRF Analyzer", (
        "Soil Cups, Ø 32 mm (100/pk)", "Polypropylene Film, 4 µm", "Test Stand", "Sample Press",
        "Lead-in-Soil Standard, 400 PPM", "Radiation Badge",
    )),
)  # fmt: skip

_SERVICES = (
    "Annual Calibration",
    "Repair Estimate",
    "Rental Extension, Weekly",
    "Operator Training, 1/2 Day",
    "Firmware Update",
    "Decontamination Fee",
    "Loss/Damage Waiver, 10%",
    "Certificate of Conformity",
)


def field_of(line: int) -> str:
    """The field a product line serves: `gas`, `water` or `site`. Line 0 is the site supplies that go with any order."""
    return KINDS[line % len(KINDS)].field


def model_of(line: int) -> str:
    """The model number of a product line, such as `PD-310`."""
    return f"{KINDS[line % len(KINDS)].prefix}-{110 + 10 * (line // len(KINDS))}"


def line_items(line: int) -> list[str]:
    """The `LINE_SIZE` distinct item names of a product line, the instrument first."""
    kind, model = KINDS[line % len(KINDS)], model_of(line)
    parts = (*kind.parts, *_FITS_ALL)
    return [f"{model} {name}" for name in (kind.instrument, *parts)][:LINE_SIZE]


def shelf_items(count: int) -> list[str]:
    """The first `count` items of the product lines, line by line; the last line may be cut short."""
    lines = -(-count // LINE_SIZE)
    return [name for line in range(lines) for name in line_items(line)][:count]


def service_items(count: int) -> list[str]:
    """`count` distinct services around the instruments: what people order alone."""
    names = []
    for position in range(count):
        line, service = divmod(position, len(_SERVICES))
        names.append(f"{_SERVICES[service]} - {model_of(line)} {KINDS[line % len(KINDS)].instrument}")
    return names
