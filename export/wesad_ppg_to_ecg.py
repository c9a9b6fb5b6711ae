"""WESAD PPG→ECG, from weights to a bundle, without training.

Rest, stress and amusement, known of a wrist's PPG (PaPaGei), told from a chest ECG (HuBERT-ECG).

    python export/wesad_ppg_to_ecg.py --out DIR --random    # random weights of full size

Without --random, name the files: --source and --target (checkpoints), --bridge and --head (what was
trained between them), and with --recording what golden windows are cut from.

Source: HuBERT-ECG small: huggingface.co/Edoardo-BS/HuBERT-ECG-SSL-Pretrained (CC BY-NC 4.0)
Target: PaPaGei-S: zenodo.org/records/13983110, papagei_s.pt (BSD-3-Clause)
"""

from pathlib import Path

from bioxedge.building.shelf import main

# Models, cuts, windows, the bridge's shape, live sensor, labels and licences.
RECIPE = Path(__file__).parent / "recipes" / "wesad_ppg_to_ecg.toml"
# A bundle is for the sensor that is worn; the recipe has the rates of the published recordings.
LIVE = ("source.sensor.rate=250.0", 'source.sensor.board="cyton"')

if __name__ == "__main__":
    main(RECIPE, changes=LIVE)
