"""WESAD ECG→PPG, from weights to a bundle, without training.

Rest, stress and amusement, known of a chest ECG (HuBERT-ECG), told from a Muse 2's PPG (PaPaGei).

    python export/wesad_ecg_to_ppg.py --out DIR --random    # random weights of full size

Without --random, name the files: --source and --target (checkpoints), --bridge and --head (what was
trained between them), and with --recording what golden windows are cut from.

Source: PaPaGei-S: zenodo.org/records/13983110, papagei_s.pt (BSD-3-Clause)
Target: HuBERT-ECG small: huggingface.co/Edoardo-BS/HuBERT-ECG-SSL-Pretrained (CC BY-NC 4.0)
"""

from pathlib import Path

from bioxedge.building.shelf import main

# Models, cuts, windows, the bridge's shape, live sensor, labels and licences.
RECIPE = Path(__file__).parent / "recipes" / "wesad_ecg_to_ppg.toml"

if __name__ == "__main__":
    main(RECIPE)
