// SPDX-License-Identifier: Apache-2.0
// Words, as Markdown.
{
  new(title, description, content): {
    type: 'text',
    title: title,
    description: description,
    options: { mode: 'markdown', content: content },
  },
}
