package dialects

// AppendRaw, AppendFloat and AppendString are what the property tests compare
// with JavaScript.
var (
	AppendRaw    = appendRaw
	AppendFloat  = appendFloat
	AppendString = appendString
	AppendMap    = appendMap
)
