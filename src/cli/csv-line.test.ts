import assert from 'node:assert/strict';
import { test } from 'node:test';
import { csvLine } from './csv-line.ts';

test('csvLine() quotes what would end a cell, and leaves the rest as it is', () => {
  for (const [cells, line] of [
    [['a', 'b'], 'a,b'],
    [['', ''], ','],
    [['a,b', 'c'], '"a,b",c'],
    [['say "x"'], '"say ""x"""'],
    [['two\nlines'], '"two\nlines"'],
    [['spiffe://acme.example/production/orders'], 'spiffe://acme.example/production/orders'],
    [['*.acme.example 10.0.0.1 ::1'], '*.acme.example 10.0.0.1 ::1'],
  ] as const) {
    assert.equal(csvLine(cells), line);
  }
});

test('csvLine() lets no cell begin as a formula, whatever stands before it', () => {
  for (const formula of ['=1+1', '+1', '-1', '@SUM(A1)', ' =1', '\t=1', '\r=1', '\n=1', '＝1', '＋1', '－1', '＠x', '=cmd|"/c calc"!A1']) {
    const cell = csvLine([formula]);
    assert.match(cell, /^"?'/, JSON.stringify(formula));
    assert.equal(cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell, `'${formula}`);
  }
});
