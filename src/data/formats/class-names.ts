/** The names of the classes of each built-in data set, in the order of their labels. */
import { PacelineError } from "../../errors.js";

const digits = words("0 1 2 3 4 5 6 7 8 9");

const clothes = [
  "T-shirt/top",
  "Trouser",
  "Pullover",
  "Dress",
  "Coat",
  "Sandal",
  "Shirt",
  "Sneaker",
  "Bag",
  "Ankle boot",
];

const cifar10 = words("airplane automobile bird cat deer dog frog horse ship truck");

const cifar100 = words(`
  apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
  camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile
  cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
  lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
  oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
  possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
  spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
  train trout tulip turtle wardrobe whale willow_tree wolf woman worm
`);

const cifar100Coarse = words(`
  aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices
  household_furniture insects large_carnivores large_man-made_outdoor_things
  large_natural_outdoor_scenes large_omnivores_and_herbivores medium_mammals
  non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2
`);

const names: ReadonlyMap<string, readonly string[]> = new Map([
  ["mnist", digits],
  ["mnist-parity", ["even", "odd"]],
  ["fashion-mnist", clothes],
  ["cifar10", cifar10],
  ["cifar100", cifar100],
  ["cifar100-coarse", cifar100Coarse],
]);

/** What label 0, 1, ... of a built-in data set stand for. Throws "usage" for an unknown name. */
export function classNames(dataset: string): readonly string[] {
  const found = names.get(dataset);
  if (found !== undefined) return found;
  const known = [...names.keys()].join(", ");
  throw new PacelineError("usage", `data set "${dataset}" is unknown; choose one of ${known}`);
}

function words(text: string): readonly string[] {
  return text.trim().split(/\s+/);
}
