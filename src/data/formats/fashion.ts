/** The files of Fashion-MNIST, their checksums and where they can be had. */
import { folderSource, webSource } from "../download/sources.js";
import { type IdxArchive, mnistForm } from "./mnist.js";

/** MD5 of the files as their home has them. Distributions that pack them anew have others. */
const packedMd5 = {
  "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
  "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
  "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
  "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
};

/**
 * Fashion-MNIST: articles of clothing, in MNIST's format and numbers. Debian's package comes first,
 * since it needs no network.
 */
export const fashionMnistArchive: IdxArchive = {
  folder: "fashion-mnist",
  ...mnistForm,
  files: [
    file("train-labels-idx1-ubyte", "9018921c3c673c538a1fc5bad174d6f9", 60_008),
    file("t10k-labels-idx1-ubyte", "15d484375f8d13e6eb1aabb0c3f46965", 10_008),
    file("t10k-images-idx3-ubyte", "8181f5470baa50b63fa0f6fddb340f0a", 7_840_016),
    file("train-images-idx3-ubyte", "f4a8712d7a061bf5bd6d2ca38dc4d50a", 47_040_016),
  ],
  sources: [
    folderSource("/usr/share/datasets/fashion-mnist"),
    web("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"),
    web("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"),
    web("https://storage.googleapis.com/tensorflow/tf-keras-datasets/"),
  ],
};

function web(base: string) {
  return webSource(base, {}, packedMd5);
}

function file(name: string, md5: string, bytes: number) {
  return { name, md5, bytes };
}
