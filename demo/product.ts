import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Plane } from './plane.ts';
import { mutationsOf, type Sabotage } from './sabotage.ts';

/** Where the product is run from: the working tree itself, or a copy with one safety cut out. */
export type Product = { readonly program: string };

/** The product as it is. */
export function intactProduct(root: string): Product {
  return { program: join(root, 'bin', 'countersign.js') };
}

/**
 * Copies the product's source to `into` (a folder below `root`, so that packages resolve) and changes the one passage that the sabotage names.
 * @throws Error if the passage does not stand in the file exactly once: then the sabotage no longer cuts what it says
 */
export function sabotagedProduct(root: string, into: string, sabotage: Sabotage, plane: Plane = 'native'): Product {
  for (const part of ['src', 'bin', 'package.json']) cpSync(join(root, part), join(into, part), { recursive: true });
  for (const { file, find, replace } of mutationsOf(sabotage, plane)) {
    const path = join(into, file);
    const text = readFileSync(path, 'utf8');
    const times = text.split(find).length - 1;
    if (times !== 1) throw new Error(`Cannot sabotage ${sabotage.name}: the passage stands ${times} times in ${file}, expected once`);
    writeFileSync(
      path,
      text.replace(find, () => replace),
    );
  }
  return { program: join(into, 'bin', 'countersign.js') };
}
