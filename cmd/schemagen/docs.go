package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
)

// docs are the doc comments of the structs of package domain and of their
// fields, by "package.Type" and "package.Type.Field".
type docs map[string]string

func readDocs(domain string) (docs, error) {
	d := make(docs)
	err := filepath.WalkDir(domain, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		d.file(file)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the comments of %s: %w", domain, err)
	}
	return d, nil
}

func (d docs) file(file *ast.File) {
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		for _, spec := range gen.Specs {
			typ := spec.(*ast.TypeSpec)
			name := file.Name.Name + "." + typ.Name.Name
			doc := typ.Doc
			if doc == nil {
				doc = gen.Doc
			}
			d[name] = flow(doc)
			s, ok := typ.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, field := range s.Fields.List {
				comment := field.Doc
				if comment == nil {
					comment = field.Comment
				}
				for _, id := range field.Names {
					d[name+"."+id.Name] = flow(comment)
				}
			}
		}
	}
}

// flow makes running text of a comment; a blank line stays a paragraph.
func flow(c *ast.CommentGroup) string {
	paragraphs := strings.Split(strings.TrimSpace(c.Text()), "\n\n")
	for i, p := range paragraphs {
		paragraphs[i] = strings.Join(strings.Fields(p), " ")
	}
	return strings.Join(paragraphs, "\n\n")
}
