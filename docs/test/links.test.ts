// Every link of a Markdown file to another file, or to a heading, leads somewhere.
import { existsSync, globSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

const root = join(__dirname, '../..')
const LINK = /\[(?:[^\][]|\[[^\][]*\])*\]\(<?([^)>\s]+)>?(?:\s+"[^"]*")?\)|^\[[^\]]+\]:\s*(\S+)/gm
const CODE = /^ *(`{3,}|~{3,})[^\n]*\n[\s\S]*?^ *\1|<!--[\s\S]*?-->|`[^`\n]*`/gm
const HEADING = /^#{1,6} +(.*?)(?: +#+)?$/gm

const documents = globSync('**/*.md', { cwd: root, exclude: ['**/node_modules', '**/dist', '.cache'] }).sort()

test.each(documents)('the links of %s lead somewhere', document => {
  const folder = dirname(join(root, document))
  const dead = linksOf(document).filter(link => {
    const [path = '', anchor] = link.split('#').map(decodeURIComponent)
    const target = path === '' ? join(root, document) : join(folder, path)
    if (!existsSync(target)) return true
    if (anchor === undefined) return false
    return statSync(target).isDirectory() || !anchorsOf(relative(root, target)).includes(anchor)
  })
  expect(dead).toEqual([])
})

test('the README leads to every guide', () => {
  const linked = new Set(linksOf('README.md').map(link => link.split('#')[0]))
  expect(documents.filter(document => /^docs\/[^/]+$/.test(document) && !linked.has(document))).toEqual([])
})

/** Those that do not leave the repository. */
function linksOf(document: string): readonly string[] {
  const text = read(document).replace(CODE, code => (code.startsWith('`') ? '`code`' : ''))
  const links = Array.from(text.matchAll(LINK), ([, inline, reference]) => (inline ?? reference) as string)
  return links.filter(link => !/^[a-z][a-z+.-]*:/i.test(link))
}

/** What a link to a heading says after its `#`: the heading as GitHub and npm spell it. */
function anchorsOf(document: string): readonly string[] {
  const text = read(document).replace(/^ *(`{3,}|~{3,})[^\n]*\n[\s\S]*?^ *\1/gm, '')
  const seen = new Map<string, number>()
  return Array.from(text.matchAll(HEADING), ([, heading = '']) => {
    const words = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const anchor = words.replace(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, '').replaceAll(' ', '-')
    const count = seen.get(anchor) ?? 0
    seen.set(anchor, count + 1)
    return count === 0 ? anchor : `${anchor}-${count}`
  })
}

const read = (document: string): string => readFileSync(join(root, document), 'utf8')
