"""ISRUC EEG→ECG, from weights to a bundle, without training.

Sleep and wake, known of an EEG cap (LaBraM), told from one ECG lead (HuBERT-ECG).

    python export/isruc_eeg_to_ecg.py --out DIR --random    # random weights of full size

Without --random, name the files: --source and --target (checkpoints), --bridge and --head (what was
trained between them), and with --recording what golden windows are cut from.

Source: HuBERT-ECG small: huggingface.co/Edoardo-BS/HuBERT-ECG-SSL-Pretrained (CC BY-NC 4.0)
Target: LaBraM base: github.com/935963004/LaBraM, labram-base.pth (MIT)

The bridge is taken to be trained by the published code, which reshapes the tokens for LaBraM; say
--transposed of one that another code trained.
"""

from pathlib import Path

from bioxedge.building.shelf import main

# Models, cuts, windows, the bridge's shape, live sensor, labels and licences.
RECIPE = Path(__file__).parent / "recipes" / "isruc_eeg_to_ecg.toml"
# A bundle is for the sensor that is worn; the recipe has the rates of the published recordings.
LIVE = ("source.sensor.rate=250.0", 'source.sensor.board="cyton"')

if __name__ == "__main__":
    main(RECIPE, changes=LIVE, as_published=True)
