/**
 * Proves the walls of the house: directions between layers, the order of the slices in control, no cycles
 * (types included), and the size ratchet. Exits 1 and names each breach.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { parseSync } from 'oxc-parser';
import { judgeSdkClosure, readClosure, sdkEntry } from './sdk-closure.ts';

type Import = { readonly from: string; readonly to: string };
type Source = { readonly file: string; readonly lines: number; readonly imports: readonly string[]; readonly packages: readonly string[] };

const root = join(import.meta.dirname, '..');
const MAXIMUM_LINES = 300;

/** The slices of control, leftmost first: one imports only itself and what stands left of it. */
const controlOrder = [
  'audit', 'access', 'policies', 'inventory', 'ca', 'grants', 'federation', 'external', 'fleet', 'telemetry', 'rollouts', 'scans', 'alerts', 'evidence',
]; // prettier-ignore

/** Which folders of src a layer may import. */
const layers: { readonly [layer: string]: readonly string[] } = {
  core: ['core'],
  platform: ['core', 'platform'],
  control: ['core', 'platform', 'control'],
  protocols: ['core', 'platform', 'control', 'protocols'],
  dataplane: ['core', 'platform', 'dataplane'],
  dashboard: ['core/messages', 'dashboard'],
};

function readSource(file: string): Source {
  const text = readFileSync(join(root, file), 'utf8');
  const { module } = parseSync(file, text);
  const specifiers = [
    ...module.staticImports.map((found) => found.moduleRequest.value),
    ...module.staticExports.flatMap((found) => found.entries.flatMap((entry) => (entry.moduleRequest ? [entry.moduleRequest.value] : []))),
    ...module.dynamicImports.flatMap((found) => {
      const literal = text.slice(found.moduleRequest.start, found.moduleRequest.end);
      return /^['"].*['"]$/.test(literal) ? [literal.slice(1, -1)] : [];
    }),
  ];
  return {
    file,
    lines: text.split('\n').length - 1,
    imports: specifiers.filter((name) => name.startsWith('.')).map((name) => relative(root, join(root, dirname(file), name))),
    packages: specifiers.filter((name) => !name.startsWith('.')),
  };
}

/** Why this import breaks a wall, or null. */
function judgeImport({ from, to }: Import): string | null {
  const [, layer = '', slice = ''] = from.split('/');
  const allowed = layers[layer];
  if (!to.startsWith('src/')) return from.startsWith('src/') ? 'src imports nothing outside of src' : null;
  if (allowed === undefined || !from.startsWith('src/')) return null;
  const target = to.slice('src/'.length);
  const [targetLayer = '', targetSlice = ''] = target.split('/');
  if (!allowed.some((folder) => target.startsWith(`${folder}/`))) return `${layer} may not import ${targetLayer}`;
  if (layer === 'control' && targetLayer === 'control' && controlOrder.indexOf(targetSlice) > controlOrder.indexOf(slice)) {
    return `control/${slice} may not import rightwards`;
  }
  if (layer === 'protocols' && targetLayer === 'protocols' && targetSlice !== slice && !sharedProtocolSlices.includes(targetSlice)) {
    return 'sibling protocols never import each other';
  }
  if (layer === 'dataplane' && (target.startsWith('platform/db/') || target.startsWith('platform/signer/'))) {
    return 'a data plane has no database and no authority key';
  }
  if (layer === 'dataplane' && slice === 'tls' && targetLayer === 'dataplane' && !['tls', 'link'].includes(targetSlice)) {
    return 'tls is shared by proxy and SDK and knows neither';
  }
  if (layer === 'dataplane' && slice === 'sdk' && targetLayer === 'dataplane' && !['sdk', 'link', 'tls'].includes(targetSlice)) {
    return 'the SDK is link, tls and core only';
  }
  return null;
}

/** The listener that several protocols are mounted on is the one thing they share. */
const sharedProtocolSlices = ['data-plane'];

/** Packages that only some folders may use. Anything else is `core: node:crypto and the protobuf runtime`. */
function judgePackage(file: string, name: string): string | null {
  if (!file.startsWith('src/core/') || file.endsWith('.test.ts')) return null;
  const allowed = ['node:crypto', 'node:util', '@bufbuild/protobuf'];
  return allowed.some((prefix) => name === prefix || name.startsWith(`${prefix}/`)) ? null : `core may not import ${name}`;
}

/** The cycles of the import graph, each as the files that it runs through (Tarjan's strongly connected components). */
function findCycles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const cycles: string[][] = [];
  const visit = (node: string): void => {
    index.set(node, index.size);
    low.set(node, index.get(node)!);
    stack.push(node);
    for (const next of graph.get(node) ?? []) {
      if (!index.has(next)) {
        visit(next);
        low.set(node, Math.min(low.get(node)!, low.get(next)!));
      } else if (stack.includes(next)) {
        low.set(node, Math.min(low.get(node)!, index.get(next)!));
      }
    }
    if (low.get(node) === index.get(node)) {
      const component = stack.splice(stack.indexOf(node));
      if (component.length > 1) cycles.push(component);
    }
  };
  for (const node of graph.keys()) if (!index.has(node)) visit(node);
  return cycles;
}

function checkLayers(): string[] {
  const files = globSync(['src/**/*.ts', 'demo/**/*.ts', 'bench/**/*.ts', 'test/**/*.ts', 'tools/**/*.ts'], { cwd: root })
    .filter((file) => !file.includes('/generated/'))
    .toSorted();
  const sources = files.map(readSource);
  const breaches: string[] = [];
  for (const source of sources) {
    const isTest = source.file.endsWith('.test.ts');
    for (const to of source.imports) {
      if (!existsSync(join(root, to))) breaches.push(`${source.file}: imports ${to}, which does not exist`);
      const breach = isTest ? null : judgeImport({ from: source.file, to });
      if (breach !== null) breaches.push(`${source.file}: ${breach} (${to})`);
      if (source.file.startsWith('demo/observer/') && !to.startsWith('demo/observer/')) {
        breaches.push(`${source.file}: the observer imports nothing of what it observes (${to})`);
      }
    }
    for (const name of source.packages) {
      const breach = judgePackage(source.file, name);
      if (breach !== null) breaches.push(`${source.file}: ${breach}`);
    }
    if (!isTest && source.lines > MAXIMUM_LINES) breaches.push(`${source.file}: ${source.lines} lines, at most ${MAXIMUM_LINES}`);
    if (source.file.endsWith('/index.ts') && source.file.startsWith('src/') && !source.file.includes('/migrations/')) {
      breaches.push(`${source.file}: no barrels`);
    }
  }
  const graph = new Map(sources.map((source) => [source.file, source.imports]));
  for (const cycle of findCycles(graph)) breaches.push(`cycle: ${cycle.join(' -> ')}`);
  breaches.push(...judgeSdkClosure(readClosure(sdkEntry)));
  return breaches;
}

const breaches = checkLayers();
for (const breach of breaches) console.error(breach);
console.log(breaches.length === 0 ? 'layers: clean' : `layers: ${breaches.length} breaches`);
process.exitCode = breaches.length === 0 ? 0 : 1;
